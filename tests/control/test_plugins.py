"""Policies of one's own are found by module and name or by entry point, and what is wrong with one is said."""

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from steelyard.control import config, plugins
from steelyard.control.fault import Fault
from steelyard.core.guard import Function
from steelyard.core.policy import Policy, create, names, registered
from steelyard.core.spec import PolicySpec
from steelyard.errors import ConfigError
from tests.control.own import OwnPolicies
from tests.fakes_core import a_table

CHOOSER = """
from steelyard.core.policy import Policy

class Last(Policy):
    '''The last one.

    Others get nothing.
    '''
    def __init__(self, spec, table, row):
        super().__init__(spec, table, row)
        self.limit = int(dict(spec.options).get("limit", "1"))

    def pick(self, request):
        return self.candidates(request)[-1]
"""


def said(name: str, beside: Path | None = None) -> str:
    """`message; mend` of the fault that looking for it ends in."""
    with pytest.raises(Fault) as caught:
        plugins.find(name, beside)
    assert name not in names()
    return f"{caught.value.message}; {caught.value.mend}"


def refused(made: Any) -> str:
    with pytest.raises(Fault) as caught:
        plugins.adopt("refused", made, "a test")
    assert "refused" not in names()
    return f"{caught.value.message}; {caught.value.mend}"


def test_a_function_beside_the_configuration_is_a_policy(own: OwnPolicies) -> None:
    own.write("own_function.py")
    plugins.find("own_function:pick", own.directory)
    found = registered("own_function:pick")
    assert ("The first one.", plugins.FOREIGN_OPTIONS, False) == (found.summary, found.options, found.ours)
    policy = create(PolicySpec("own_function:pick"), a_table(1), 0)
    assert isinstance(policy, Function)
    assert policy.function is sys.modules["own_function"].pick


def test_a_subclass_of_policy_is_one_too(own: OwnPolicies) -> None:
    own.write("own_class.py", CHOOSER)
    plugins.find("own_class:Last", own.directory)
    assert "The last one." == registered("own_class:Last").summary
    assert sys.modules["own_class"].Last is registered("own_class:Last").policy


def test_it_is_registered_once(own: OwnPolicies) -> None:
    own.write("own_once.py", "raised = []\n" + "def pick(request, backends): pass\n")
    for _ in range(2):
        plugins.find("own_once:pick", own.directory)
    assert 1 == names().count("own_once:pick")
    assert "" == registered("own_once:pick").summary


def test_modules_in_packages_and_their_neighbours_are_found(own: OwnPolicies) -> None:
    own.write("own_package/__init__.py", "")
    own.write("own_package/choice.py", "from own_neighbour import pick\n")
    own.write("own_neighbour.py")
    plugins.find("own_package.choice:pick", own.directory)


def test_the_working_directory_is_searched_too(own: OwnPolicies, monkeypatch: pytest.MonkeyPatch) -> None:
    own.write("own_here.py")
    monkeypatch.chdir(own.directory)
    plugins.find("own_here:pick", Path("/nonexistent"))


def test_a_file_beside_the_configuration_does_not_stand_in_for_an_installed_module(own: OwnPolicies) -> None:
    """What is searched comes last, so nothing that the balancer imports later can be put in its place."""
    own.write("colorsys.py")
    assert "has no pick" in said("colorsys:pick", own.directory)
    own.write("own_last.py")
    plugins.find("own_last:pick", own.directory)
    assert str(own.directory) in sys.path[-2:]


@pytest.mark.parametrize(
    "name", ["mine:", ":pick", "mine:a.b", "mine:1", "a b:pick", "a..b:pick", "mine.py:pick:x", "1a:b"]
)
def test_a_name_has_a_module_and_a_word_of_it(name: str) -> None:
    assert "is no policy of one's own; write module:name, such as mymodule:pick" == said(name)


def test_a_module_that_is_missing_is_answered_with_the_nearest(own: OwnPolicies) -> None:
    own.write("own_balance.py")
    directory = own.directory.resolve()
    assert (
        f"there is no module own_balanse; did you mean own_balance? looked in {directory} and {Path().resolve()}"
        == said("own_balanse:pick", directory)
    )


def test_or_with_where_it_was_looked_for(own: OwnPolicies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own.directory)
    assert f"there is no module zzz; looked in {own.directory.resolve()}" == said("zzz:pick", own.directory)
    own.write("own_unlike.py")
    assert f"there is no module zzz; looked in {own.directory.resolve()} (known: own_unlike)" == said("zzz:pick")


def test_a_module_missing_from_a_package_is_looked_for_there(own: OwnPolicies) -> None:
    inside = own.write("own_pack/__init__.py", "").parent.resolve()
    own.write("own_pack/choosing.py")
    assert f"there is no module own_pack.chosing; did you mean choosing? looked in {inside}" == said(
        "own_pack.chosing:pick", own.directory
    )
    own.write("own_file.py")
    assert "there is no module own_file.part; own_file is no package" == said("own_file.part:pick", own.directory)


@pytest.mark.parametrize(
    ("expected", "source"),
    [
        ("ZeroDivisionError: division by zero (own_broken.py, line 2)", "\n1 / 0\n"),
        ("SyntaxError: invalid syntax (own_broken.py, line 1)", "def def\n"),
        ("ModuleNotFoundError: No module named 'zzz_missing' (own_broken.py, line 1)", "import zzz_missing\n"),
        ("SystemExit: 3 (own_broken.py, line 2)", "import sys\nsys.exit(3)\n"),
        ("ValueError: two lines (own_broken.py, line 1)", "raise ValueError('two\\n lines')\n"),
        ("RuntimeError (own_broken.py, line 1)", "raise RuntimeError\n"),
    ],
)
def test_a_module_that_cannot_be_imported_is_quoted(own: OwnPolicies, expected: str, source: str) -> None:
    own.write("own_broken.py", source)
    assert f"module own_broken cannot be imported: {expected}; mend the module" == said(
        "own_broken:pick", own.directory
    )


@pytest.mark.parametrize(
    ("expected", "source"),
    [
        ("GeneratorExit (own_broken.py, line 1)", "raise GeneratorExit\n"),
        ("B: x (own_broken.py, line 2)", "class B(BaseException): pass\nraise B('x')\n"),
        (
            "E, which cannot say what it is (own_broken.py, line 3)",
            "class E(Exception):\n  def __str__(self): 1 / 0\nraise E\n",
        ),
        ("KeyError: 'own_broken'", "import sys\ndel sys.modules[__name__]\n"),
        (
            "ValueError: policy 'hash' is registered twice (own_broken.py, line 2)",
            "from steelyard.core.policy import register\nregister('hash', None, '')\n",
        ),
    ],
)
def test_nothing_that_a_module_raises_gets_past(own: OwnPolicies, expected: str, source: str) -> None:
    own.write("own_broken.py", source)
    assert f"module own_broken cannot be imported: {expected}; mend the module" == said(
        "own_broken:pick", own.directory
    )


@pytest.mark.parametrize(
    ("expected", "source"),
    [
        (
            "does not hand out pick: RuntimeError: no (own_asked.py, line 1)",
            "def __getattr__(n): raise RuntimeError('no')",
        ),
        ("does not hand out pick: SystemExit: 3 (own_asked.py, line 1)", "def __getattr__(n): raise SystemExit(3)"),
        ("has put a NoneType in its place, without pick", "import sys\nsys.modules[__name__] = None\n"),
        ("has put an int in its place, without pick", "import sys\nsys.modules[__name__] = 5\n"),
    ],
)
def test_a_module_that_does_not_behave_as_one_is_named(own: OwnPolicies, expected: str, source: str) -> None:
    own.write("own_asked.py", source)
    try:
        assert f"module own_asked {expected}; mend the module" == said("own_asked:pick", own.directory)
    finally:
        sys.modules.pop("own_asked", None)


def test_a_module_does_not_register_itself(own: OwnPolicies) -> None:
    """Nor is its name good when it is asked for again."""
    own.write(
        "own_posing.py",
        "from steelyard.core.policy import register\nregister('own_posing:pick', None, '')\n"
        "def pick(request, backends): pass\n",
    )
    for _ in range(2):
        with pytest.raises(Fault, match="its module has registered it, past the checks"):
            plugins.find("own_posing:pick", own.directory)


def test_nor_does_one_that_fails_afterwards(own: OwnPolicies) -> None:
    own.write(
        "own_posing.py", "from steelyard.core.policy import register\nregister('own_posing:pick', None, '')\n1 / 0\n"
    )
    with pytest.raises(Fault, match="ZeroDivisionError"):
        plugins.find("own_posing:pick", own.directory)
    with pytest.raises(Fault, match="cannot be imported: ValueError: policy 'own_posing:pick' is registered twice"):
        plugins.find("own_posing:pick", own.directory)


def test_a_directory_is_no_module(own: OwnPolicies) -> None:
    (own.directory / "own_empty").mkdir()
    directory = own.directory.resolve()
    assert (
        f"own_empty is a directory without __init__.py ({directory / 'own_empty'}); "
        "name a module in it, own_empty.module:pick" == said("own_empty:pick", directory)
    )
    own.write("own_full/choosing.py")
    assert said("own_full:pick", directory).endswith("name a module in it, own_full.choosing:pick")
    plugins.find("own_full.choosing:pick")


def test_prints_of_a_module_are_not_on_standard_output(own: OwnPolicies, capsys: pytest.CaptureFixture[str]) -> None:
    own.write(
        "own_loud.py",
        CHOOSER.replace("def pick", "    print('made')\n    def pick") + "\nprint('imported')\n",
    )
    config.load(own.config("'own_loud:Last'"))
    assert ("", "imported\nmade\n") == capsys.readouterr()


def test_a_persons_ctrl_c_is_not_held_up(own: OwnPolicies) -> None:
    own.write("own_interrupted.py", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        plugins.find("own_interrupted:pick", own.directory)


def test_a_name_that_is_missing_is_answered_with_the_nearest(own: OwnPolicies) -> None:
    file = own.write("own_names.py", "def pick(request, backends): pass\ndef _pikk(): pass\npikc = 3\n").resolve()
    assert f"module own_names ({file}) has no pikk; did you mean pick?" == said("own_names:pikk", own.directory)


def pick_three(request: Any, backends: Any, table: Any) -> None: ...
async def pick_late(request: Any, backends: Any) -> None: ...
def pick_many(request: Any, backends: Any) -> Any:
    yield


class NoPolicy:
    """Not one."""


class Silent(Policy):
    """Does not choose."""


FUNCTION = "; name a function pick(request, backends), or a subclass of Policy"
AT_ONCE = "does not answer at once; write def pick(request, backends), without async and yield"


@pytest.mark.parametrize(
    ("expected", "made"),
    [
        ("is an int" + FUNCTION, 3),
        ("is a str" + FUNCTION, "pick"),
        ("is a NoneType" + FUNCTION, None),
        ("is a class, but none of steelyard.core.policy.Policy; write class NoPolicy(Policy)", NoPolicy),
        ("is a Policy that does not say how to pick; give it a method pick(self, request)", Silent),
        ("is a Policy that does not say how to pick; give it a method pick(self, request)", Policy),
        (
            "is an object, and every pool needs one of its own; name its class, Silent",
            Silent(PolicySpec(), a_table(1), 0),
        ),
        (
            "cannot be called with a request and its backends: missing a required argument: 'table'; "
            "write (request, backends)",
            pick_three,
        ),
        (AT_ONCE, pick_late),
        (AT_ONCE, pick_many),
    ],
)
def test_what_is_no_policy_is_refused(expected: str, made: Any) -> None:
    assert expected == refused(made)


@pytest.mark.parametrize(
    "made",
    [lambda request, backends: None, lambda *rest: None, lambda r, b, more=1: None, max, print],
    ids=["two", "any number", "one more with a default", "max", "one that does not say"],
)
def test_whatever_takes_a_request_and_backends_is_taken(own: OwnPolicies, made: Callable[..., Any]) -> None:
    plugins.adopt("taken", made, "a test")
    assert "taken" in names()


class DocRaises:
    @property
    def __doc__(self) -> str:  # type: ignore[override]
        raise RuntimeError("doc")

    def __call__(self, request: Any, backends: Any) -> None: ...


def test_one_that_cannot_be_looked_at_is_refused() -> None:
    assert refused(DocRaises()).startswith("cannot be looked at: RuntimeError: doc (test_plugins.py, line ")


@pytest.mark.parametrize(
    ("expected", "body"),
    [
        (
            "cannot be made: SystemExit: 3 (own_made.py, line 5)",
            "def __init__(self, *given): __import__('sys').exit(3)",
        ),
        ("becomes an int, and no Policy", "def __new__(cls, *given): return 5"),
        (
            "cannot say whether it reads bodies: ZeroDivisionError: division by zero (own_made.py, line 5)",
            "reads_body = property(lambda self: 1 / 0)",
        ),
    ],
)
def test_a_class_is_tried_as_a_worker_will_use_it(own: OwnPolicies, expected: str, body: str) -> None:
    own.write(
        "own_made.py",
        f"from steelyard.core.policy import Policy\n\n\nclass Own(Policy):\n    {body}\n"
        "    def pick(self, request): return None\n",
    )
    with pytest.raises(ConfigError) as caught:
        config.load(own.config("'own_made:Own'"))
    (problem,) = caught.value.problems
    assert expected == problem.message


def test_what_a_policy_says_of_an_option_has_the_name_of_its_variable(own: OwnPolicies) -> None:
    own.write(
        "own_telling.py",
        CHOOSER.replace('self.limit = int(dict(spec.options).get("limit", "1"))', "raise ValueError(spec.options)"),
    )
    file = own.config("{name: 'own_telling:Last', options: {key: '${SX}', a: b, c: '${C}'}}")
    with pytest.raises(ConfigError) as caught:
        config.load(file, {"SX": "hunter2", "C": "key"})
    (problem,) = caught.value.problems
    assert "cannot be made: ValueError: (('key', '${SX}'), ('a', 'b'), ('c', 'key')) (own_telling.py, line 11)" == (
        problem.message
    )


class Installed:
    """Entry points as installed packages would have them."""

    def __init__(self, *points: tuple[str, str, str]) -> None:
        self.points = points

    def __call__(self, group: str) -> list[EntryPoint]:
        assert "steelyard.policies" == group
        made = []
        for name, value, package in self.points:
            point = EntryPoint(name, value, group)
            vars(point)["dist"] = type("Distribution", (), {"name": package, "version": "1.0"}) if package else None
            made.append(point)
        return made


@pytest.fixture
def installed(own: OwnPolicies, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    own.write("own_offered.py", CHOOSER)
    own.write("own_bad.py", "1 / 0\n")
    monkeypatch.syspath_prepend(str(own.directory))
    return lambda *points: monkeypatch.setattr(plugins, "entry_points", Installed(*points))


def test_an_installed_package_offers_policies_by_name(installed: Callable[..., None]) -> None:
    installed(("last", "own_offered:Last", "lasting"))
    plugins.find("last")
    assert "The last one." == registered("last").summary


def test_the_nearest_names_are_those_of_packages_too(installed: Callable[..., None]) -> None:
    installed(("last", "own_offered:Last", "lasting"))
    assert "unknown policy; did you mean last?" == said("lasst")
    assert "unknown policy; did you mean random?" == said("randum")
    assert "own_offered" not in sys.modules


def test_policies_of_other_configurations_are_not_suggested(own: OwnPolicies) -> None:
    own.register("strange:pick", ours=False)
    assert "strange:pick" not in said("strange")


def test_a_broken_entry_point_is_named_with_its_package(installed: Callable[..., None]) -> None:
    installed(("bad", "own_bad:pick", "breaking"), ("gone", "own_offered:Gone", "breaking"))
    assert (
        "cannot be loaded from breaking 1.0: ZeroDivisionError: division by zero (own_bad.py, line 1); "
        "mend own_bad:pick, or take the policy out" == said("bad")
    )
    assert "cannot be loaded from breaking 1.0: AttributeError: " in said("gone")


def test_two_packages_that_offer_one_name_are_both_named(installed: Callable[..., None]) -> None:
    installed(("last", "own_offered:Last", "one"), ("last", "own_bad:pick", "another"))
    assert "is offered by another 1.0 and one 1.0; uninstall one of them, or name it as module:name" == said("last")


def test_offers_are_the_built_in_ones_and_those_of_packages(installed: Callable[..., None]) -> None:
    installed(
        ("zlast", "own_offered:Last", "lasting"),
        ("bad", "own_bad:pick", "breaking"),
        ("hash", "own_offered:Last", "posing"),
        ("nobody", "own_offered:Last", ""),
    )
    found = {(offer.name, offer.origin): offer for offer in plugins.offers()}
    assert set(plugins.built_in()) == {name for name, origin in found if origin is None}
    assert (
        plugins.Offer("zlast", "The last one.", plugins.FOREIGN_OPTIONS, "lasting 1.0") == found["zlast", "lasting 1.0"]
    )
    assert "own_offered:Last" == found["nobody", "own_offered:Last"].origin
    assert str(found["bad", "breaking 1.0"].error).startswith("cannot be loaded from breaking 1.0: ZeroDivisionError")
    assert "'hash' is the name of a built-in policy" == found["hash", "posing 1.0"].error
    assert registered("hash").ours


def test_a_policy_may_refuse_its_options(own: OwnPolicies) -> None:
    own.write("own_options.py", CHOOSER)
    assert (("limit", "7"),) == config.load(own.config("{name: 'own_options:Last', options: {limit: 7}}")).pools[
        0
    ].policy.options
    file = own.config("{name: 'own_options:Last', options: {limit: x}}")
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    (problem,) = caught.value.problems
    assert f"{file}:5" == problem.where
    assert "cannot be made: ValueError: invalid literal for int() with base 10: 'x' (own_options.py, line 11)" == (
        problem.message
    )


def test_a_configuration_names_a_module_beside_it(own: OwnPolicies) -> None:
    own.write("sub/own_beside.py")
    file = own.config("{name: 'own_beside:pick', fallback: random, time_limit: 2ms}", "sub/balancer.yaml")
    assert PolicySpec("own_beside:pick", fallback="random", time_limit_s=0.002) == config.load(file).pools[0].policy


@pytest.mark.parametrize(
    ("expected", "name"),
    [
        ("module own_wrong ({module}) has no pik (got own_wrong:pik); did you mean pick?", "own_wrong:pik"),
        ("is an int (got own_wrong:LIMIT); name a function pick(request, backends), or a subclass", "own_wrong:LIMIT"),
        ("there is no module own_wron (got own_wron:pick); did you mean own_wrong?", "own_wron:pick"),
    ],
)
def test_a_wrong_one_is_reported_with_file_and_line(own: OwnPolicies, expected: str, name: str) -> None:
    module = own.write("own_wrong.py", "LIMIT = 3\ndef pick(request, backends): pass\n").resolve()
    file = own.config(f"'{name}'")
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"{file}:5: pools.app.policy: {expected.format(module=module)}")


def test_a_fallback_that_hashes_gets_a_key(own: OwnPolicies) -> None:
    own.write("own_keyed.py")
    assert [None, "client_ip", "path"] == [
        config.load(own.config(text)).pools[0].policy.key
        for text in (
            "'own_keyed:pick'",
            "{name: 'own_keyed:pick', fallback: hash}",
            "{name: 'own_keyed:pick', key: path}",
        )
    ]


@pytest.fixture
def broken_package(own: OwnPolicies, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package whose list of what it offers cannot be read, beside one whose can."""
    own.write("good-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: good\nVersion: 1.0\n")
    own.write("good-1.0.dist-info/entry_points.txt", "[steelyard.policies]\nlast = own_offered:Last\n")
    own.write("bad-2.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: bad\nVersion: 2.0\n")
    own.write("bad-2.0.dist-info/entry_points.txt", "[steelyard.policies]\n=z:ok\nfoo\n")
    own.write("own_offered.py", CHOOSER)
    monkeypatch.syspath_prepend(str(own.directory))
    return "entry_points.txt of bad 2.0 cannot be read (TypeError"


def test_one_broken_package_does_not_hide_the_others(broken_package: str, own: OwnPolicies) -> None:
    found = {offer.name: offer for offer in plugins.offers()}
    assert "The last one." == found["last"].summary
    assert ("bad 2.0", True) == (found["?"].origin, str(found["?"].error).startswith(broken_package))
    assert said("lasst").startswith(f"unknown policy, and {broken_package}")


def test_a_package_without_a_name_is_named_by_its_place(broken_package: str, own: OwnPolicies) -> None:
    (own.directory / "bad-2.0.dist-info" / "METADATA").unlink()
    (broken,) = (offer for offer in plugins.offers() if offer.name == "?")
    assert f"a package in {own.directory}" == broken.origin
