#!/bin/bash
# Workers as a Slurm array, one GPU each:  sbatch --array=0-7 deploy/slurm/worker.sh STUDY...
# Set VENATION_STORAGE, VENATION_STORAGE_PASSWORD_FILE and VENATION_ARTIFACTS before; VENATION names the command if it
# is not in the PATH. A task ends when its studies have. Two minutes before its time is over, or when it is preempted
# (where PreemptParameters has send_user_signal), it hands its trial back and queues again.
#SBATCH --job-name=venation
#SBATCH --array=0-3
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --gres=gpu:1
#SBATCH --time=12:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=venation-%A_%a.log
set -uo pipefail

if [ $# -eq 0 ]; then
    echo "name the studies: sbatch deploy/slurm/worker.sh STUDY..." >&2
    exit 2
fi
if [ -z "${VENATION_STORAGE:-}" ]; then
    echo "VENATION_STORAGE is not set: tasks on several nodes need one PostgreSQL server" >&2
    exit 2
fi

# Slurm tells this shell alone (B:), and a shell that waits passes nothing on by itself. It may do so at any moment,
# also before there is a worker.
worker=
told=
tell() {
    interrupted=yes
    [ -z "$worker" ] || kill -"$told" "$worker" 2>/dev/null
}
trap 'told=USR1; tell' USR1
trap 'told=TERM; tell' TERM INT
"${VENATION:-venation}" worker "$@" --until-idle --drain 90 &
worker=$!
[ -z "$told" ] || tell

# A signal ends `wait` early, with the worker still busy handing its trial back.
code=0
while :; do
    interrupted=no
    wait $worker
    status=$?
    [ $status -eq 127 ] || code=$status
    [ $interrupted = yes ] || break
done

# 138: a worker that had only begun to start died of the signal, without a trial.
if [ "$told" = USR1 ] && { [ $code -eq 0 ] || [ $code -eq 138 ]; }; then
    # In an array, the number of a task's job may mean the whole array.
    job=${SLURM_JOB_ID:-}
    [ -z "${SLURM_ARRAY_JOB_ID:-}" ] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
    scontrol requeue "$job"
fi
exit $code
