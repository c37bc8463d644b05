{{/* The pod of a worker, for a Deployment, a Job and a ScaledJob. */}}
{{- define "venation.workerPod" -}}
{{- $shared := list "artifacts" "data" "shm" }}
{{- $stays := eq .Values.worker.kind "Deployment" }}
metadata:
  labels: {{- include "venation.labels" (dict "root" . "name" "worker") | nindent 4 }}
  annotations:
    prometheus.io/scrape: "true"
    prometheus.io/port: "9200"
spec:
  restartPolicy: {{ $stays | ternary "Always" "Never" }}
  terminationGracePeriodSeconds: {{ add .Values.worker.drain 30 }}
  {{- include "venation.podSecurity" 1000 | nindent 2 }}
  containers:
    - args:
        - worker
        {{- range .Values.studies }}
        - {{ . | quote }}
        {{- end }}
        {{- if not $stays }}
        - --until-idle
        {{- end }}
        {{- range list "--drain" (toString .Values.worker.drain) "--metrics-port" "9200" "--metrics-host" "0.0.0.0" }}
        - {{ . | quote }}
        {{- end }}
        {{- range .Values.worker.args }}
        - {{ . | quote }}
        {{- end }}
      ports:
        - {name: http, containerPort: 9200}
      {{- if $stays }}
      {{- include "venation.probes" (dict "live" "/metrics" "ready" "") | nindent 6 }}
      {{- end }}
      resources:
        requests: {cpu: {{ .Values.worker.cpu | quote }}, memory: {{ .Values.worker.memory }}}
        limits:
          memory: {{ .Values.worker.memoryLimit }}
          {{- if .Values.worker.gpus }}
          nvidia.com/gpu: {{ .Values.worker.gpus }}
          {{- end }}
      {{- include "venation.container" (dict "root" . "name" "worker" "shared" $shared) | nindent 6 }}
  {{- include "venation.volumes" (dict "root" . "shared" $shared) | nindent 2 }}
{{- end }}

{{/* A job of a worker: repeated after a loss of its node, but not after misuse or with other data. */}}
{{- define "venation.workerJob" -}}
backoffLimit: 30
podFailurePolicy:
  rules:
    - action: Ignore
      onPodConditions:
        - {type: DisruptionTarget, status: "True"}
    - action: FailJob
      onExitCodes: {containerName: worker, operator: In, values: [2, 3]}
template: {{- include "venation.workerPod" . | nindent 2 }}
{{- end }}

{{/*
The number of trials that are not finished: running, and of studies that are not paused waiting, and those that the
budgets still allow. A study without a number of trials counts as many as there may be workers, until its time is over.
*/}}
{{- define "venation.unfinished" -}}
{{- $names := list }}
{{- range .Values.studies }}
{{- $names = append $names (replace "'" "''" . | squote) }}
{{- end -}}
SELECT coalesce(sum(open), 0) FROM (
SELECT count(t.trial_id) FILTER (WHERE t.state = 'RUNNING')
+ CASE WHEN EXISTS (SELECT FROM study_user_attributes p WHERE p.study_id = s.study_id AND p.key = 'paused') THEN 0
ELSE count(t.trial_id) FILTER (WHERE t.state = 'WAITING')
+ CASE WHEN extract(epoch FROM clock_timestamp()) - CAST(min(b.value_json) AS double precision)
> CAST(CAST(a.value_json AS json) ->> 'timeout' AS double precision) THEN 0
ELSE greatest(0, coalesce(CAST(CAST(a.value_json AS json) ->> 'trials' AS integer) - count(t.trial_id), {{ .Values.scaling.max }}))
END END AS open
FROM studies s JOIN study_user_attributes a ON a.study_id = s.study_id AND a.key = 'venation:spec'
LEFT JOIN study_user_attributes b ON b.study_id = s.study_id AND b.key = 'started'
LEFT JOIN trials t ON t.study_id = s.study_id
WHERE s.study_name IN ({{ join ", " $names }})
GROUP BY s.study_id, a.value_json) studies
{{- end }}
