"""Models as entities of the contract: what the core is told about a `Document`, worked out once per class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .errors import InvalidQueryError, InvalidSchemaError
from .expression import Column
from .field import Index
from .filters import resolve, translate
from .plan import FieldPlan, Plan
from .records import attributes_validator, partial_validator
from .relation import Relation, relations_of, scope_of
from .schema import complete, definition_of, fields_of, has_aliases, prints_plainly, shape_of
from .values import tagged

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

    from ._native import Shape
    from .model import Document

#: Who makes a key of this type that Python has no value for.
_GENERATED = {"int": "auto_increment", "uuid": "uuid", "object_id": "object_id"}


#: The attribute of `SearchableMixin`.
_SEARCH_FIELD = "search_vector"


@dataclass(eq=False)
class Entity:
    """One model, ready for the contract.

    Attributes:
        model: The class.
        fields: The plan of every field by its attribute.
        key: The attributes of the primary key.
    """

    model: type[Document]
    fields: dict[str, FieldPlan]
    key: tuple[str, ...]

    @cached_property
    def shape(self) -> Shape:
        """How the native module makes instances."""
        return shape_of(self.model, tuple(self.fields.values()))

    @cached_property
    def prints_plainly(self) -> bool:
        """Whether the native module may print rows as JSON by itself."""
        return prints_plainly(self.model, tuple(self.fields.values()))

    @cached_property
    def has_aliases(self) -> bool:
        """Whether `by_alias` can change what is printed."""
        return has_aliases(self.fields.values())

    @cached_property
    def attributes_validator(self) -> SchemaValidator | None:
        """Validates the attributes of a new row without making an instance, where the model is a plain one."""
        return attributes_validator(self.model)

    @cached_property
    def validator(self) -> SchemaValidator:
        """Validates some of the fields, by their own validators."""
        return partial_validator(self.model)

    @cached_property
    def aliases(self) -> dict[str, str]:
        """Attribute of every plain validation alias that is no attribute itself."""
        aliases = {field.info.validation_alias: name for name, field in self.fields.items()}
        return {alias: name for alias, name in aliases.items() if isinstance(alias, str) and alias not in self.fields}

    @cached_property
    def automatic(self) -> dict[str, str]:
        """Attribute of every automatic field, by what it is (`"version"` ...)."""
        return {field.options.auto: name for name, field in self.fields.items() if field.options.auto}

    @cached_property
    def relations(self) -> dict[str, Relation[Any]]:
        """The relations by attribute."""
        return relations_of(self.model)

    @cached_property
    def scope(self) -> Mapping[str, FieldPlan]:
        """What the path of a filter may begin with: a field or a relation."""
        return {**self.fields, **scope_of(self.model)}

    def along(self, path: str) -> Iterator[Entity]:
        """The entities on a path of relations; an unknown one is for the core to refuse."""
        first, _, rest = path.partition(".")
        if first in self.relations:
            other = entity_of(self.relations[first].target)
            yield other
            yield from other.along(rest)

    def definition(self, name: str) -> dict[str, Any]:
        """The entity of the contract, stored under `name`."""
        fields = [self._definition(field) for field in self.fields.values()]
        definition: dict[str, Any] = {"name": name, "fields": fields}
        indexes = self._indexes()
        if indexes:
            definition["indexes"] = indexes
        if self.relations:
            definition["relations"] = [relation.definition(self.model) for relation in self.relations.values()]
        return definition

    def _definition(self, field: FieldPlan) -> dict[str, Any]:
        definition = _definition(field, is_key=field.attribute in self.key)
        if field.options.auto == "search":
            sources = self.model.__farm_setting__("search", ())
            definition["search"] = [resolve(path, self.fields)[0] for path in sources]
        return definition

    def _indexes(self) -> list[dict[str, Any]]:
        """The indexes beside those of single fields that the fields ask for themselves; each once."""
        flagged = [
            {"fields": [field.stored]}
            for field in self.fields.values()
            if field.options.index or field.options.unique or self.key == (field.attribute,)
        ]
        asked = [self._index(Index.parse(spec)) for spec in self.model.get_indexes()]
        asked += [_nested_index(path, unique) for path, unique in _nested_options(self.fields)]
        indexes: list[dict[str, Any]] = []
        for index in asked:
            if index not in flagged and index not in indexes:
                indexes.append(index)
        return indexes

    def _index(self, index: Index) -> dict[str, Any]:
        definition: dict[str, Any] = {"fields": [self._index_part(part) for part in index.fields]}
        if index.unique:
            definition["unique"] = True
        if index.where:
            definition["where"] = tagged(translate(index.where, self.fields))
        if index.name:
            definition["name"] = index.name
        return definition

    def _index_part(self, part: str) -> str:
        descending = part.startswith("-")
        path = part.lstrip("+-")
        if path.split(".")[0] not in self.fields and path not in {field.stored for field in self.fields.values()}:
            name = self.model.__name__
            raise InvalidSchemaError(
                f"{name}: an index names {path!r}, which is no field", {"model": name, "field": path}
            )
        return ("-" if descending else "") + resolve(path, self.fields)[0]

    def stored_name(self, attribute: str) -> str:
        """The stored name of an attribute; a path is translated leg by leg."""
        return resolve(attribute, self.fields)[0]

    def key_of(self, instance: Document) -> Any:
        """The key of an instance, as the verbs take it.

        Raises:
            InvalidQueryError: if the instance has none yet.
        """
        values = [getattr(instance, name) for name in self.key]
        if any(value is None for value in values):
            raise InvalidQueryError(f"this {self.model.__name__} has no key yet: insert it first")
        if len(values) == 1:
            return self.stored_key(values[0])
        return self.stored_key(dict(zip(self.key, values, strict=True)))

    def stored_key(self, key: Any) -> Any:
        """A caller's key with stored names and core values."""
        if len(self.key) == 1:
            return self.fields[self.key[0]].plan.encode(key)
        if not isinstance(key, Mapping):
            parts = ", ".join(self.key)
            raise InvalidQueryError(f"the key of {self.model.__name__} is a dict of {parts}")
        return {
            self.fields[name].stored if name in self.fields else name: (
                self.fields[name].plan.encode(value) if name in self.fields else value
            )
            for name, value in key.items()
        }


def entity_of(model: type[Document]) -> Entity:
    """The entity of a model.

    Raises:
        InvalidSchemaError: if the model is abstract, has no primary key, or a type that cannot be stored.
    """
    entity: Entity | None = model.__dict__.get("__farm_entity__")
    if entity is None:
        entity = _build(model)
        # On the class, so that both go together.
        type.__setattr__(model, "__farm_entity__", entity)
    return entity


def _build(model: type[Document]) -> Entity:
    name = model.__name__
    if model.__farm_abstract__:
        raise InvalidSchemaError(f"{name} is abstract: it has no table of its own", {"model": name})
    complete(model)
    if model.model_config.get("extra") == "allow":
        message = f'{name} allows extra keys, which have no column; declare a field such as "metadata: dict[str, Any]"'
        raise InvalidSchemaError(message, {"model": name})
    for attribute, info in model.model_fields.items():
        # The class's attribute of a relation is a column.
        if isinstance(info.default, (Relation, Column)):
            message = f"{name}.{attribute} is a relation, which is no field: write it without an annotation"
            raise InvalidSchemaError(message, {"model": name, "field": attribute})
    fields = {field.attribute: field for field in fields_of(model)}
    key = tuple(attribute for attribute, field in fields.items() if field.options.primary_key)
    if not key:
        hint = "give one field `Field(primary_key=True)`, or the class `abstract=True`"
        raise InvalidSchemaError(f"{name} has no primary key: {hint}", {"model": name})
    _mark_search(model, fields)
    return Entity(model, fields, key)


def _mark_search(model: type[Document], fields: dict[str, FieldPlan]) -> None:
    """Lets the core fill in the search field of a model whose Settings say what is searched."""
    sources = model.__farm_setting__("search", ())
    name, is_list = model.__name__, isinstance(sources, (list, tuple))
    if not is_list or not all(isinstance(path, str) for path in sources):
        raise InvalidSchemaError(f"{name}: Settings.search must be a list of fields", {"model": name})
    if not sources or any(field.options.auto == "search" for field in fields.values()):
        return
    field = fields.get(_SEARCH_FIELD)
    if field is None:
        hint = 'add SearchableMixin, or a field `Field(default=None, auto="search")`'
        raise InvalidSchemaError(f"{name} has Settings.search but no search field: {hint}", {"model": name})
    fields[_SEARCH_FIELD] = replace(field, options=replace(field.options, auto="search"))


def _definition(field: FieldPlan, *, is_key: bool) -> dict[str, Any]:
    """A column: the field's definition and its options."""
    definition, options = definition_of(field), field.options
    flags = {
        "unique": options.unique,
        "index": options.index and not options.unique,
        "primary_key": options.primary_key,
    }
    definition.update({name: True for name, value in flags.items() if value})
    if options.auto:
        definition["auto"] = options.auto
        # The core fills these in; a default beside would only make contracts differ.
        if options.auto != "version":
            definition.pop("default", None)
    generated = options.generated or (_generator(field) if is_key else None)
    if generated:
        definition["generated"] = generated
    if is_key:
        # `id: int | None = None` means "not known yet", never a null in the table.
        definition.pop("nullable", None)
        if definition.get("default", 0) is None:
            del definition["default"]
    return definition


def _generator(field: FieldPlan) -> str | None:
    """Who makes this key where Python has no value: nobody, when there is a factory or the caller must give one."""
    info = field.info
    if info.is_required() or info.default_factory is not None or info.default is not None:
        return None
    return _GENERATED.get(field.plan.kind)


def _nested_options(fields: Mapping[str, FieldPlan]) -> Iterator[tuple[str, bool]]:
    """Path and uniqueness of every indexed field inside nested models."""
    for field in fields.values():
        yield from _walk(field.stored, field.plan)


def _walk(path: str, plan: Plan) -> Iterator[tuple[str, bool]]:
    for field in plan.fields:
        inner = f"{path}.{field.stored}"
        if field.options.index or field.options.unique:
            yield inner, field.options.unique
        yield from _walk(inner, field.plan)


def _nested_index(path: str, unique: bool) -> dict[str, Any]:
    return {"fields": [path], "unique": True} if unique else {"fields": [path]}
