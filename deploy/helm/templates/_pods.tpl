{{/* What every pod has in common. */}}

{{- define "venation.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "venation.image" -}}
{{- with .Values.image.digest }}{{ $.Values.image.repository }}@{{ . }}{{ else }}
{{- .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "venation.databaseHost" -}}
{{ .Values.database.host | default (printf "%s-postgres.%s.svc" .Release.Name .Release.Namespace) }}
{{- end }}

{{- define "venation.podSecurity" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "venation.containerSecurity" -}}
securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
{{- end }}

{{/* The container of a command of Venation: name, args, and a list of the shared volumes that it mounts. */}}
{{- define "venation.container" -}}
name: {{ .name }}
image: {{ include "venation.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{ include "venation.containerSecurity" . }}
envFrom:
  - configMapRef: {name: {{ .root.Release.Name }}-config}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  - {name: home, mountPath: /var/lib/venation}
  - {name: secrets, mountPath: /run/secrets/venation, readOnly: true}
  {{- if has "artifacts" .shared }}
  - {name: artifacts, mountPath: /artifacts}
  {{- end }}
  {{- if has "data" .shared }}
  - {name: data, mountPath: /data, readOnly: true}
  {{- end }}
  {{- if has "shm" .shared }}
  - {name: shm, mountPath: /dev/shm}
  {{- end }}
{{- end }}

{{- define "venation.volumes" -}}
volumes:
  - name: tmp
    emptyDir: {}
  - name: home
    emptyDir: {}
  - name: secrets
    secret: {secretName: {{ .root.Values.secretName }}}
  {{- range .shared }}
  {{- if eq . "shm" }}
  - name: shm
    emptyDir: {medium: Memory, sizeLimit: 4Gi}
  {{- else }}
  - name: {{ . }}
    persistentVolumeClaim: {claimName: {{ $.root.Release.Name }}-{{ . }}}
  {{- end }}
  {{- end }}
{{- end }}

{{/* A server that answers PATH on port http. */}}
{{- define "venation.probes" -}}
startupProbe:
  httpGet: {path: {{ .live }}, port: http}
  periodSeconds: 10
  failureThreshold: 60
livenessProbe:
  httpGet: {path: {{ .live }}, port: http}
  periodSeconds: 30
  timeoutSeconds: 10
  failureThreshold: 6
{{- if .ready }}
readinessProbe:
  httpGet: {path: {{ .ready }}, port: http}
  periodSeconds: 15
  timeoutSeconds: 10
{{- end }}
{{- end }}
