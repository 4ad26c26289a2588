"""Network policies as a network plugin reads them: who may reach whom. Policies add up; without one, all is allowed."""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.deploy.chart import NAMESPACE, Object, component, of_kind, pods

OUTSIDE = ("ingress-nginx", "monitoring", "kube-system", "elsewhere")


@dataclass(frozen=True)
class End:
    """A pod (with labels, in a namespace) or an address outside the cluster. A pod's address is none that counts."""

    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""
    address: str = ""


def pod_in(namespace: str) -> End:
    return End({"app": "other"}, namespace)


def address(text: str) -> End:
    return End(address=text)


class Network:
    """The policies of one rendering of the chart."""

    def __init__(self, objects: tuple[Object, ...]) -> None:
        self._policies = [policy["spec"] for policy in of_kind(objects, "NetworkPolicy").values()]
        self.ours = {
            component({"metadata": pod["metadata"]}): pod["metadata"]["labels"] for pod in pods(objects).values()
        }

    def pod(self, name: str) -> End:
        """Of a service, or `topics`, `doctor`."""
        return End(self.ours[name], NAMESPACE)

    def may(self, source: End, target: End, port: int, protocol: str = "TCP") -> bool:
        """Whether a connection is let out of its source and into its target."""
        out = self._lets(source, "egress", target, port, protocol)
        return out and self._lets(target, "ingress", source, port, protocol)

    def _lets(self, subject: End, way: str, other: End, port: int, protocol: str) -> bool:
        own = [
            p for p in self._policies if subject.namespace == NAMESPACE and _matches(p["podSelector"], subject.labels)
        ]
        asked = [policy for policy in own if way.capitalize() in policy["policyTypes"]]
        rules = [rule for policy in asked for rule in policy.get(way, ())]
        peers = "to" if way == "egress" else "from"
        return not asked or any(_has_port(rule, port, protocol) and _has_peer(rule.get(peers), other) for rule in rules)


def _has_port(rule: Object, port: int, protocol: str) -> bool:
    return any((one["port"], one["protocol"]) == (port, protocol) for one in rule["ports"])


def _has_peer(peers: list[Object] | None, other: End) -> bool:
    return peers is None or any(_is(peer, other) for peer in peers)


def _is(peer: Object, other: End) -> bool:
    if "ipBlock" in peer:
        return bool(other.address) and _within(peer["ipBlock"], other.address)
    if other.address:
        return False
    where = peer.get("namespaceSelector")
    names = {"kubernetes.io/metadata.name": other.namespace}
    here = other.namespace == NAMESPACE if where is None else _matches(where, names)
    return here and _matches(peer.get("podSelector", {}), other.labels)


def _within(block: Object, text: str) -> bool:
    ip = ipaddress.ip_address(text)
    return ip in ipaddress.ip_network(block["cidr"]) and not any(
        ip in ipaddress.ip_network(hole) for hole in block.get("except", ())
    )


def _matches(selector: Object, labels: Mapping[str, str]) -> bool:
    exact = selector.get("matchLabels", {})
    return exact.items() <= labels.items() and all(_fits(one, labels) for one in selector.get("matchExpressions", ()))


def _fits(expression: Object, labels: Mapping[str, str]) -> bool:
    assert expression["operator"] == "In"
    return labels.get(expression["key"]) in expression["values"]


def blocks(objects: tuple[Object, ...]) -> Iterator[Object]:
    """Every ipBlock of every policy."""
    for policy in of_kind(objects, "NetworkPolicy").values():
        for rule in (*policy["spec"].get("egress", ()), *policy["spec"].get("ingress", ())):
            yield from (peer["ipBlock"] for peer in (*rule.get("to", ()), *rule.get("from", ())) if "ipBlock" in peer)
