#!/usr/bin/env bash
# Runs a command on a node of a Ray cluster: with-ray.sh COMMAND...
#
# A driver of Ray runs on a node of its cluster, so that a Prefect worker whose flows are drivers needs a node beside it.
# The node offers no CPU: work goes to the workers. It is made by KUBERAY_GEN_RAY_START_CMD where KubeRay gives one, else
# by joining RAY_HEAD (host:port); with neither, there is no cluster and flows start a local Ray of their own.
# When the node or the command ends, the other is ended too, so that whoever restarts containers restarts both.
set -euo pipefail
# Without job control, bash starts what runs in the background deaf to SIGINT, by which Prefect's worker ends itself.
set -m

if [ $# -eq 0 ]; then
    echo "with-ray.sh: no command is named. Say what to run: with-ray.sh prefect worker start --pool dataclaw-cpu" >&2
    exit 2
fi
if [ -n "${KUBERAY_GEN_RAY_START_CMD:-}" ]; then
    ulimit -n 65536 2>/dev/null || true # KubeRay leaves this to commands of one's own
    bash -c "exec $KUBERAY_GEN_RAY_START_CMD" &
elif [ -n "${RAY_HEAD:-}" ]; then
    ray start --address="$RAY_HEAD" --num-cpus=0 --num-gpus=0 --block &
else
    exec "$@"
fi
node=$!
"$@" &
command=$!
# A flow that is told to stop ends in good order while its node is still there.
stop() { kill -TERM "$command" 2>/dev/null || true; }
trap stop TERM INT
code=0
wait -n "$node" "$command" || code=$?
if kill -0 "$node" 2>/dev/null; then
    if kill -0 "$command" 2>/dev/null; then # neither ended: we were told to stop
        code=0
        wait "$command" || code=$?
    fi
    kill -TERM "$node" 2>/dev/null || true
    wait "$node" 2>/dev/null || true
else
    echo "with-ray.sh: the Ray node ended (exit code $code), so the command is ended too. Its log says why" >&2
    stop
    wait "$command" 2>/dev/null || true
    [ "$code" -ne 0 ] || code=1
fi
exit "$code"
