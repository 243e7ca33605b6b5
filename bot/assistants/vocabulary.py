"""Word lists for the grounding check: programs, units, and words that carry no meaning."""

from __future__ import annotations

_PROGRAMS = """
    alertmanager amtool ansible ansible-playbook apt apt-get aws awk az bash chmod chown crictl
    ctr curl dd df dig dnf docker dpkg du etcdctl gcloud gh git glab grep helm iptables istioctl
    journalctl jq kafka-topics killall kubeadm kubectl kustomize lsof mkfs mv mysql netstat nmap
    npm nslookup nsenter openssl pg_dump pgbouncer pip pkill podman promtool psql python python3
    rabbitmqctl rclone redis-cli rm rsync scp sed sh sqlite3 ssh strace sudo sysctl systemctl tar
    tcpdump terraform traceroute umount vi vim wget xargs yum zsh
"""
PROGRAMS = frozenset(_PROGRAMS.split())
"""Names of programs that are not words of plain English: after one, a command follows."""

UNITS = {
    "%": "%",
    "percent": "%",
    "ms": "ms",
    "millisecond": "ms",
    "s": "s",
    "sec": "s",
    "second": "s",
    "m": "m",
    "min": "m",
    "minute": "m",
    "h": "h",
    "hour": "h",
    "d": "d",
    "day": "d",
    "week": "week",
    "month": "month",
    "year": "year",
    "b": "b",
    "byte": "b",
    **{
        f"{prefix}{ending}": f"{prefix}{ending}" for prefix in "kmgt" for ending in ("b", "i", "ib")
    },
    "k": "k",
    "g": "g",
    "core": "core",
    "cpu": "cpu",
    "time": "time",
    "replica": "replica",
    "node": "node",
    "pod": "pod",
    "run": "run",
    "connection": "connection",
    "request": "request",
    "restart": "restart",
    "retry": "retry",
    "retrie": "retry",
    "approval": "approval",
    "signature": "signature",
    "incident": "incident",
}
"""Unit without its plural `s`, to the form that is compared."""

NUMBER_WORDS = {
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
    "eleven": "11",
    "twelve": "12",
    "fifteen": "15",
    "twenty": "20",
    "thirty": "30",
    "forty": "40",
    "sixty": "60",
    "ninety": "90",
}
"""Without `one`, which is a pronoun as often as a number."""

_COMMON = """
    about above after again against also although always another because been before being
    below best between both cannot could does doing done down during each either else even every
    first following from further have having here however into itself just keep last least less
    like make many might more most much must need needed needs next only other otherwise over
    please rather same should since some still such sure than that their them then there these
    they this those through together under until upon very want well were what when where whether
    which while will with within without would your
"""
COMMON = frozenset(_COMMON.split())
"""Words of four letters and more that say nothing about the subject of a sentence."""
