"""Hosts of a Ray cluster: the one module that knows Ray (``pip install 'cnnbench[ray]'``).

One measurement at a time per host comes from Ray's own accounting: a host takes part with the
resource ``cnnbench_host``, and what measures there takes all of it, and every CPU and GPU that Ray
knows of the host, for as long as it takes part. So neither another campaign nor another task of
Ray is put beside it. What measures is an actor that Ray never restarts: where the group of a lost
host goes is decided by who handed it out.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnbench.errors import Unsupported, UsageError
from cnnbench.runner.cluster import address as address_of
from cnnbench.runner.cluster.hosts import Event, Finished, HostAnswered, HostLost, Measured, Node
from cnnbench.runner.cluster.serving import installing
from cnnbench.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cnnbench.channel import Message

# A host takes part that has it: ray start --resources='{"cnnbench_host": 1}'.
RESOURCE = "cnnbench_host"
# What Ray sets in every process that it starts, and what measures would take for the user's.
RAYS_OWN = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
# How much more than itself Ray has what it starts give way to other work.
NICENESS = "RAY_worker_niceness"
_START = f"ray start … --resources='{{\"{RESOURCE}\": 1}}'"


def agent() -> Any:
    """What runs on a host, as Ray takes it: a class.

    A class inside of a function goes to the host by value, so that a host without cnnbench can say
    so. It holds nothing that Ray would have to pickle.
    """
    remedy = installing(VERSION)

    class Agent:
        def introduce(self, asked: Message) -> Message:
            try:
                from cnnbench.codec import decode
                from cnnbench.runner.cluster import on_ray, serving
            except ImportError as error:
                told = f"it has no cnnbench, or one that takes no groups ({error})"
                return {"refused": f"{told}; {remedy}"}
            on_ray.undo()
            message = serving.introduction(asked)
            self._environment = decode(serving.Introduction, message, "introduction").environment
            return message

        def begin(self, order: Message) -> None:
            from cnnbench.runner.cluster import serving

            assert self._environment is not None  # noqa: S101 - for the type checker
            self._measured = serving.measured(order, self._environment)

        def more(self) -> list[dict[str, Any]] | None:
            from cnnbench.errors import CnnbenchError

            try:
                return next(self._measured, None)
            except CnnbenchError as error:
                # Ray makes an error anew from its text alone, which ours are not made of.
                raise RuntimeError(f"{type(error).__name__}: {error}") from None

    return Agent


def undo() -> None:
    """Give this process back what Ray has set in place of the host's own.

    That is what the process has that started it, Ray's daemon on this host: some variables, and its
    niceness, where this process may change it.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, os.getppid()))
    from pathlib import Path

    try:
        text = Path(f"/proc/{os.getppid()}/environ").read_bytes().decode(errors="replace")
    except OSError:
        text = ""
    before = dict(one.partition("=")[::2] for one in text.split("\0") if one)
    for name in RAYS_OWN:
        os.environ.pop(name, None)
        if name in before:
            os.environ[name] = before[name]


@dataclass
class _Host:
    """A host as it is asked.

    Attributes:
        node: what others know of it.
        actor: Ray's handle.
        question: the answer that is waited for; ``None`` while it has nothing to do.
        introduces: that answer is its introduction.
    """

    node: Node
    actor: Any
    question: Any = None
    introduces: bool = False


class RayHosts:
    """A Ray cluster as a ``hosts.Cluster``."""

    def __init__(self, address: str, agents: Callable[[], Any] = agent) -> None:
        """Connect.

        Args:
            address: as ``ray.init`` takes it.
            agents: what runs on a host; somebody may look at what it does.

        Raises:
            Unsupported: Ray is not installed.
            UsageError: no cluster answers at the address.
        """
        try:
            import ray
        except ImportError as error:
            raise Unsupported(
                "--cluster needs ray; install it with: pip install 'cnnbench[ray]'"
            ) from error
        self._ray = ray
        self._agent = agents()
        self._hosts: dict[str, _Host] = {}
        self._silent: list[_Host] = []
        # Nothing of Ray's between the lines of a command, and no server for anybody to look at.
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        address_of.refuse_silent(address)
        if address == address_of.LOCAL:
            # Ray's own would have all other work come first.
            os.environ.setdefault(NICENESS, "0")
            ray.init(address, resources={RESOURCE: 1}, include_dashboard=False, **quiet)
            return
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"--cluster {address}: no Ray cluster can be reached there ({_line(error)})"
            ) from error

    def nodes(self) -> list[Node]:
        """As the protocol has it."""
        names, alive = self._names()
        return [_node(one, names) for one in alive if one["Resources"].get(RESOURCE, 0) >= 1]

    def unfit(self) -> list[str]:
        """As the protocol has it."""
        names, alive = self._names()
        found = [_node(one, names) for one in alive if one["Resources"].get(RESOURCE, 0) < 1]
        return [f"{one.name}: not used: it has no resource {RESOURCE} ({_START})" for one in found]

    def invite(self, node: Node, asked: Message) -> None:
        """As the protocol has it."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        (found,) = (one for one in self._ray.nodes() if one["NodeID"] == node.id)
        has = found["Resources"]
        made = self._ray.remote(
            num_cpus=has.get("CPU", 0), num_gpus=has.get("GPU", 0),
            resources={RESOURCE: has[RESOURCE]}, max_restarts=0, max_task_retries=0,
        )(self._agent)  # fmt: skip
        here = NodeAffinitySchedulingStrategy(node.id, soft=False)
        actor = made.options(scheduling_strategy=here).remote()
        host = _Host(node, actor, actor.introduce.remote(asked), introduces=True)
        self._hosts[node.id] = host

    def hand(self, node: Node, order: Message) -> None:
        """As the protocol has it."""
        host = self._hosts[node.id]
        host.actor.begin.remote(order)
        self._silent.append(host)

    def wait(self, seconds: float) -> Event | None:
        """As the protocol has it."""
        for host in self._silent:
            host.question = host.actor.more.remote()
        self._silent.clear()
        asked = {one.question: one for one in self._hosts.values() if one.question is not None}
        if not asked:
            return None
        ready, _ = self._ray.wait([*asked], num_returns=1, timeout=seconds)
        return self._heard(asked[ready[0]]) if ready else None

    def _heard(self, host: _Host) -> Event:
        """What a host has answered; without an answer it is lost."""
        question, host.question = host.question, None
        try:
            answer = self._ray.get(question)
        except self._ray.exceptions.RayError as error:
            self.leave(host.node)
            return HostLost(host.node, _line(error))
        if host.introduces:
            host.introduces = False
            return HostAnswered(host.node, answer)
        if answer is None:
            return Finished(host.node)
        self._silent.append(host)
        return Measured(host.node, answer)

    def leave(self, node: Node) -> None:
        """As the protocol has it."""
        host = self._hosts.pop(node.id, None)
        if host is not None:
            self._silent = [one for one in self._silent if one is not host]
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.kill(host.actor)

    def close(self) -> None:
        """As the protocol has it."""
        for host in [*self._hosts.values()]:
            self.leave(host.node)
        self._ray.shutdown()

    def _names(self) -> tuple[Mapping[str, int], Sequence[Message]]:
        """How many nodes have each host name, also of those that are gone; and those alive."""
        found = self._ray.nodes()
        names = Counter(str(one["NodeManagerHostname"]) for one in found)
        return names, [one for one in found if one["Alive"]]


def _node(found: Message, names: Mapping[str, int]) -> Node:
    """A node by its host name, and by its id as well where several have that name."""
    name, own = str(found["NodeManagerHostname"]), str(found["NodeID"])
    return Node(own, name if names[name] == 1 else f"{name}-{own[:6]}")


def _line(error: Exception) -> str:
    """The line of an error of Ray's that says what it was: the last of a traceback from a host.

    What was raised there is the cause of an error that Ray raises here.
    """
    error = getattr(error, "cause", None) or error
    lines = [one.strip() for one in str(error).splitlines() if one.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if "Traceback" in str(error) else lines[0]
