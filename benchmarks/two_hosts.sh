#!/bin/bash
# two_hosts.sh [kill|cut] SETTINGS...: train.py on two hosts, network namespaces of this machine that a
# pair of virtual cards joins. Needs root. Prints the bytes that each sent; with `kill` a worker is killed
# after 40 s, with `cut` the cable is, and the seconds until both hosts have ended are printed.
set -eu
what=train; case $1 in kill|cut) what=$1; shift;; esac
here=$(cd "$(dirname "$0")/.." && pwd)
ip netns add hosta; ip netns add hostb
trap 'ip netns del hosta; ip netns del hostb' EXIT
ip link add va type veth peer name vb
for s in a:1 b:2; do
    n=${s%:*}
    ip link set "v$n" netns "host$n"
    ip netns exec "host$n" ip addr add "10.77.0.${s#*:}/24" dev "v$n"
    ip netns exec "host$n" ip link set "v$n" up
    ip netns exec "host$n" ip link set lo up
done
host() {
    ip netns exec "host$1" env GLOO_SOCKET_IFNAME="v$1" "${PYTHON:-python}" -m torch.distributed.run \
        --nnodes=2 --node-rank="$2" --nproc-per-node=1 --master-addr=10.77.0.1 --master-port=29555 \
        "$here/train.py" trainer.num_nodes=2 trainer.strategy=by_users "${@:3}"
}
host a 0 "$@" & first=$!
host b 1 "$@" & second=$!
began=$SECONDS
if [ $what != train ]; then
    sleep 40
    began=$SECONDS
    if [ $what = kill ]; then
        kill -9 "$(ip netns pids hostb | xargs ps -o pid=,args= -p | awk '/train.py/ && !/distributed.run/ {print $1}' | tail -1)"
    else
        ip netns exec hosta ip link set va down
    fi
fi
wait $first || echo "the first host ended with $? after $((SECONDS - began)) s"
wait $second || echo "the second host ended with $? after $((SECONDS - began)) s"
for n in a b; do echo "host $n sent $(ip netns exec host$n cat /sys/class/net/v$n/statistics/tx_bytes) bytes"; done
