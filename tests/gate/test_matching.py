"""Modules of two networks side by side."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cnnbench.clocked import ModuleFacts
from cnnbench.gate.matching import alike, matched


def conv(name: str, channels: int = 8, size: int = 16) -> ModuleFacts:
    return ModuleFacts(
        name, "Conv2d", params=9 * channels, output=f"float32[1,{channels},{size},{size}]"
    )


def relu(name: str, channels: int = 8) -> ModuleFacts:
    return ModuleFacts(name, "ReLU", output=f"float32[1,{channels},16,16]")


def names(base: list[ModuleFacts], head: list[ModuleFacts]) -> list[tuple[str | None, str | None]]:
    return [
        (None if here is None else base[here].name, None if there is None else head[there].name)
        for here, there in matched(base, head)
    ]


def test_equal_networks_match_path_by_path() -> None:
    net = [conv("0"), relu("1"), conv("2", 16)]

    assert names(net, net) == [("0", "0"), ("1", "1"), ("2", "2")]


def test_an_inserted_module_shifts_the_numbers_of_the_others_without_harm() -> None:
    base = [conv("0"), relu("1"), conv("2", 16), relu("3", 16)]
    head = [conv("0"), ModuleFacts("1", "GELU", output="float32[1,8,16,16]"), relu("2"),
            conv("3", 16), relu("4", 16)]  # fmt: skip

    assert names(base, head) == [("0", "0"), (None, "1"), ("1", "2"), ("2", "3"), ("3", "4")]


def test_a_layer_that_grew_is_still_that_layer() -> None:
    base, head = [conv("a"), conv("b", 8), relu("c")], [conv("a"), conv("b", 12), relu("c")]

    assert names(base, head) == [("a", "a"), ("b", "b"), ("c", "c")]


def test_another_class_under_the_same_path_took_its_place() -> None:
    base = [conv("a"), relu("act")]
    head = [conv("a"), ModuleFacts("act", "SiLU", output="float32[1,8,16,16]")]

    assert names(base, head) == [("a", "a"), ("act", "act")]


def test_a_network_in_a_wrapper_keeps_its_modules() -> None:
    base = [ModuleFacts("", "Net", output="[1,10]"), conv("stem"), relu("act")]
    head = [ModuleFacts("", "Wrapper", output="[1,10]"), ModuleFacts("net", "Net", output="[1,10]"),
            conv("net.stem"), relu("net.act")]  # fmt: skip

    assert names(base, head)[1:] == [("", "net"), ("stem", "net.stem"), ("act", "net.act")]


def test_a_module_that_moved_is_found_by_what_it_is() -> None:
    base = [conv("head", 99), conv("a"), conv("b", 16), relu("c")]
    head = [conv("a"), conv("b", 16), relu("c"), conv("tail", 99)]

    assert ("head", "tail") in names(base, head)


def test_another_memory_format_or_type_makes_no_other_module() -> None:
    base = [ModuleFacts("old", "Conv2d", output="float32[1,8,4,4]")]
    head = [ModuleFacts("new", "Conv2d", output="float64[1,8,4,4] channels_last")]

    assert names(base, head) == [("old", "new")]


ANY = st.lists(
    st.builds(
        ModuleFacts,
        st.text("abc.", max_size=4),
        st.sampled_from(["Conv2d", "ReLU"]),
        params=st.integers(0, 2),
        output=st.sampled_from(["float32[1,8,4,4]", "float32[1,8,2,2]", ""]),
    ),
    max_size=8,
)


@given(ANY, ANY)
def test_every_module_stands_there_once(base: list[ModuleFacts], head: list[ModuleFacts]) -> None:
    pairs = matched(base, head)

    assert sorted(here for here, _ in pairs if here is not None) == list(range(len(base)))
    assert sorted(there for _, there in pairs if there is not None) == list(range(len(head)))
    assert (None, None) not in pairs


@given(ANY)
def test_a_network_matches_itself(net: list[ModuleFacts]) -> None:
    assert matched(net, net) == [(index, index) for index in range(len(net))]


def test_a_subclass_or_another_activation_in_the_same_place_is_the_same_module_changed() -> None:
    layer, act = conv("2", 16), relu("3")
    slow = ModuleFacts("2", "Slow", params=layer.params, output=layer.output)

    assert alike(layer, slow)
    assert alike(act, ModuleFacts("3", "SiLU", output=act.output))
    assert not alike(layer, ModuleFacts("2", "Slow", params=layer.params + 1, output=layer.output))
    assert not alike(
        layer, ModuleFacts("2", "Slow", params=layer.params, output="float32[1,8,2,2]")
    )
