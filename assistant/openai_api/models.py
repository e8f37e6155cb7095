"""Which models /v1 offers: the champion as `hone`, its strategies as `hone:cot`, each version by its name."""

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter
from fastapi.responses import Response

from assistant import registry
from assistant.api.context import Chatter, Parts
from assistant.openai_api.answers import Model, Models, ModelWays, Role
from assistant.problems import UnknownModelError
from assistant.registry import ModelVersion
from assistant.turns import DEFAULT_STRATEGY
from feedback.errors import NotFoundError
from feedback.store import Store
from prompts import service

CHAMPION = "hone"
"""The name that always means whoever is champion now."""

router = APIRouter()


@dataclass(frozen=True)
class Named:
    """What a model's name asks for. `version` None: the champion at the time of the turn."""

    version: ModelVersion | None
    strategy: str


def short(strategy: str) -> str:
    """A strategy's short name: the initials of three words or more (`cot`), else the name itself."""
    words = strategy.split("-")
    return "".join(word[:1] for word in words) if len(words) > 2 else strategy


def resolve(store: Store, name: str) -> Named:
    """What `name` asks for: `hone`, `hone:STRATEGY`, a version's name, or `VERSION:STRATEGY`.

    UnknownModelError for any other name, and for a version that this server's base cannot answer as.
    """
    version = _version(store, name)
    if name == CHAMPION or version:
        return Named(version, DEFAULT_STRATEGY)
    head, _, way = name.rpartition(":")
    strategy = next((one.name for one in service.offered(store) if way in (one.name, short(one.name))), None)
    version = _version(store, head)
    if strategy is None or not (head == CHAMPION or version):
        raise UnknownModelError(
            f"There is no model {name[:100]}.", todo="GET /v1/models lists them; `hone` always answers."
        )
    return Named(version, strategy)


def _version(store: Store, name: str) -> ModelVersion | None:
    return next((one for one in _served(store) if one.name == name), None)


def _served(store: Store) -> list[ModelVersion]:
    """The versions that stand on the champion's base and template: the others cannot answer here."""
    champion = registry.champion(store)
    ours = (champion.base_id, champion.chat_template_sha256)
    return [one for one in registry.listing(store) if (one.base_id, one.chat_template_sha256) == ours]


@router.get("/models/", include_in_schema=False)  # as clients write it that join addresses
@router.get("/models")
def listing(parts: Parts, user: Chatter) -> Models:
    """The champion as `hone`, its strategies, and every model version; `hone.role` says which is which."""
    return Models("list", _models(parts.store))


@router.get("/models/{name:path}")
def read(parts: Parts, user: Chatter, name: str) -> Model:
    """One model, by any name that a request may give."""
    named = resolve(parts.store, name)
    if named.version is None:
        return _shape(name, registry.champion(parts.store), "champion", named.strategy)
    return _shape(name, named.version, _role(parts.store, named.version), named.strategy)


@router.post("/embeddings", status_code=404, response_class=Response, response_description="Always.")
def embeddings(user: Chatter) -> None:
    """Not offered, and why: always 404."""
    raise NotFoundError(
        "There are no embeddings here.",
        "The models that Hone serves are trained to write; what they hold of a text compares badly.",
        "Use a model made for embeddings, on another server.",
    )


def _models(store: Store) -> list[Model]:
    champion = registry.champion(store)
    ways = [one.name for one in service.offered(store)]
    return [
        _shape(CHAMPION, champion, "champion", DEFAULT_STRATEGY),
        *(_shape(f"{CHAMPION}:{short(way)}", champion, "champion", way) for way in ways),
        *(_shape(one.name, one, _role(store, one), DEFAULT_STRATEGY) for one in _served(store)),
    ]


def _role(store: Store, version: ModelVersion) -> Role:
    """Champion, candidate (made by a run, never champion), former champion, or base."""
    if version.id == registry.champion(store).id:
        return "champion"
    if any(version.id in (move.from_version_id, move.to_version_id) for move in registry.history(store)):
        return "former champion"
    return "candidate" if version.run_id else "base"


def _shape(name: str, version: ModelVersion, role: Role, strategy: str) -> Model:
    created = int(datetime.fromisoformat(version.created_at).timestamp())
    return Model(name, "model", created, "hone", ModelWays(role, version.name, strategy))
