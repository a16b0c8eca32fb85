/**
 * The types of fields: what a builder offers for each kind, and what it remembers at compile time.
 * At run time all of them are one class (`builder.ts`).
 */
import type { Decimal } from "../value/decimal.js";
import type { FieldDefinition } from "./definition.js";

declare const STATE: unique symbol;

/** What the compiler knows of a field. */
export interface State {
  /** What a read returns. */
  out: unknown;
  /** What a write takes. */
  in: unknown;
  /** Whether a write may leave it out. */
  optional: boolean;
  /** Whether it belongs to the primary key. */
  key: boolean;
}

/** A declared field. */
export interface Field<S extends State = State> {
  /** The field as plain data. */
  readonly definition: FieldDefinition;
  /** Exists for the compiler only. */
  readonly [STATE]?: S;
}

/** Fields by attribute. */
export type Fields = { readonly [attribute: string]: Field };

type Change<S extends State, C extends Partial<State>> = Omit<S, keyof C> & C extends infer R extends State
  ? { [K in keyof R]: R[K] }
  : never;
/** @internal */
export type Nullable<S extends State> = Change<S, { out: S["out"] | null; in: S["in"] | null; optional: true }>;
/** @internal */
export type Optional<S extends State> = Change<S, { optional: true }>;
/** @internal */
export type Key<S extends State> = Change<S, { key: true }>;

/** The builders by name; the names are for the compiler only. */
interface Builders<S extends State> {
  string: StringField<S>;
  enum: EnumField<S>;
  int: IntField<S>;
  float: FloatField<S>;
  decimal: DecimalField<S>;
  bool: BoolField<S>;
  uuid: UuidField<S>;
  objectId: ObjectIdField<S>;
  datetime: DatetimeField<S>;
  date: DateField<S>;
  time: TimeField<S>;
  bytes: BytesField<S>;
  json: JsonField<S>;
  list: ListField<S>;
  map: MapField<S>;
  object: ObjectField<S>;
}
type Name = keyof Builders<State>;
type Of<N extends Name, S> = S extends State ? Builders<S>[N] : never;

/** What every field can be told. */
interface Common<N extends Name, S extends State> extends Field<S> {
  /**
   * Null is allowed, and is what an absent value becomes unless there is a default: `str | None` in Python. The same as
   * Python's `str | None = None` is `.nullable().default(null)`.
   */
  nullable(): Of<N, Nullable<S>>;
  /** What an absent value becomes: a value, which the contract holds, or a function, which is called on each `create`. */
  default(value: S["in"] | (() => S["in"])): Of<N, Optional<S>>;
  /** The stored name, where it is not the attribute's. */
  column(name: string): Of<N, S>;
  /** An index on this field alone. */
  index(): Of<N, S>;
  /** No two rows have the same value. */
  unique(): Of<N, S>;
}

interface Keyable<N extends Name, S extends State> {
  /** The row's key; several such fields make a composite key. */
  primaryKey(): Of<N, Key<S>>;
}

interface Sized<N extends Name, S extends State> {
  /** The shortest length allowed. */
  min(length: number): Of<N, S>;
  /** The longest length allowed. */
  max(length: number): Of<N, S>;
}

interface Bounded<N extends Name, S extends State, V> {
  /** At least this. */
  min(value: V): Of<N, S>;
  /** At most this. */
  max(value: V): Of<N, S>;
  /** More than this. */
  gt(value: V): Of<N, S>;
  /** Less than this. */
  lt(value: V): Of<N, S>;
}

interface Stepped<N extends Name, S extends State, V> {
  /** A whole multiple of this. */
  multipleOf(step: V): Of<N, S>;
}

/** Text. Lengths are counted in characters (code points). */
export interface StringField<S extends State> extends Common<"string", S>, Keyable<"string", S>, Sized<"string", S> {
  /** A regular expression that is searched in the text (syntax of Rust's `regex`; no look-around). */
  pattern(expression: string | RegExp): Of<"string", S>;
  /** The core makes an absent key: a random UUID or an object id, as text. */
  generated(by: "uuid" | "object_id"): Of<"string", Optional<S>>;
  /**
   * The words of these fields and paths (text, lists of text, also inside nested models), which the core keeps on every
   * write and `search` looks for.
   */
  searchOf(sources: readonly string[]): Of<"string", Nullable<S>>;
}
/** One of a few values. */
export interface EnumField<S extends State> extends Common<"enum", S>, Keyable<"enum", S> {}
/** A 64-bit integer. */
export interface IntField<S extends State>
  extends Common<"int", S>,
    Keyable<"int", S>,
    Bounded<"int", S, number | bigint>,
    Stepped<"int", S, number | bigint> {
  /** The database counts: a record may leave the key out. */
  autoIncrement(): Of<"int", Optional<S>>;
  /** The optimistic version: 1 on create, one more on every update, checked by `expectedVersion`. */
  version(): Of<"int", Optional<S>>;
}
/** A 64-bit float. */
export interface FloatField<S extends State>
  extends Common<"float", S>,
    Bounded<"float", S, number>,
    Stepped<"float", S, number> {}
/** A decimal number of up to 34 significant digits. */
export interface DecimalField<S extends State>
  extends Common<"decimal", S>,
    Keyable<"decimal", S>,
    Bounded<"decimal", S, Decimal | string | number | bigint>,
    Stepped<"decimal", S, Decimal | string | number | bigint> {
  /** At most `maximum` significant digits, `places` of them behind the point. */
  digits(maximum: number, places?: number): Of<"decimal", S>;
}
/** True or false. */
export interface BoolField<S extends State> extends Common<"bool", S> {
  /** Follows the field that is declared `deletedAt()`. */
  deletedFlag(): Of<"bool", Optional<S>>;
}
/** A UUID, as text. */
export interface UuidField<S extends State> extends Common<"uuid", S>, Keyable<"uuid", S> {
  /** The core makes a random one where a record has none. */
  generated(): Of<"uuid", Optional<S>>;
}
/** A MongoDB object id. */
export interface ObjectIdField<S extends State> extends Common<"objectId", S>, Keyable<"objectId", S> {
  /** The core makes one where a record has none. */
  generated(): Of<"objectId", Optional<S>>;
}
/** A moment in UTC, with microseconds. */
export interface DatetimeField<S extends State>
  extends Common<"datetime", S>,
    Keyable<"datetime", S>,
    Bounded<"datetime", S, Date | string> {
  /** Set on create. */
  createdAt(): Of<"datetime", Optional<S>>;
  /** Set on every write. */
  updatedAt(): Of<"datetime", Optional<S>>;
  /** Soft delete: set by `delete`; a row with it set is invisible. */
  deletedAt(): Of<"datetime", Nullable<S>>;
}
/** A calendar day such as `2024-01-31`. */
export interface DateField<S extends State> extends Common<"date", S>, Keyable<"date", S>, Bounded<"date", S, string> {}
/** A time of day such as `12:30:00`. */
export interface TimeField<S extends State> extends Common<"time", S>, Bounded<"time", S, string> {}
/** Bytes. */
export interface BytesField<S extends State> extends Common<"bytes", S>, Sized<"bytes", S> {}
/** Any value at all. */
export interface JsonField<S extends State> extends Common<"json", S> {}
/** A list; lengths are counted in elements. */
export interface ListField<S extends State> extends Common<"list", S>, Sized<"list", S> {}
/** A map with free keys. */
export interface MapField<S extends State> extends Common<"map", S> {}
/** A nested model. */
export interface ObjectField<S extends State> extends Common<"object", S> {}
