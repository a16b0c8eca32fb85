/** `f`: declares fields. Every method returns a new field; nothing is changed in place. */
import { FarmDbError } from "../error.js";
import { Decimal } from "../value/decimal.js";
import type { ObjectId } from "../value/object-id.js";
import type { Auto, Constraints, FieldDefinition, Generated, Kind } from "./definition.js";
import type {
  BoolField,
  BytesField,
  DateField,
  DatetimeField,
  DecimalField,
  EnumField,
  Field,
  Fields,
  FloatField,
  IntField,
  JsonField,
  ListField,
  MapField,
  ObjectField,
  ObjectIdField,
  State,
  StringField,
  TimeField,
  UuidField,
} from "./field.js";
import type { InputOf, RowOf, Simplify } from "./infer.js";
import type { Model } from "./model.js";

/** Every builder of `field.ts` in one; the interfaces there say which methods a kind has. */
class FieldBuilder {
  readonly definition: FieldDefinition;

  constructor(definition: FieldDefinition) {
    this.definition = Object.freeze(definition);
  }

  private with(part: Partial<FieldDefinition>): FieldBuilder {
    return new FieldBuilder({ ...this.definition, ...part });
  }

  private constrained(part: Constraints): FieldBuilder {
    return this.with({ constraints: { ...this.definition.constraints, ...part } });
  }

  private auto(auto: Auto, part: Partial<FieldDefinition> = {}): FieldBuilder {
    return this.with({ auto, ...part });
  }

  private get isSized(): boolean {
    return ["text", "bytes", "list"].includes(this.definition.kind);
  }

  nullable() {
    return this.with({ nullable: true });
  }
  default(value: unknown) {
    return this.with({ default: typeof value === "function" ? { make: value as () => unknown } : { value } });
  }
  column(name: string) {
    return this.with({ column: name });
  }
  index() {
    return this.with({ index: true });
  }
  unique() {
    return this.with({ unique: true });
  }
  primaryKey() {
    return this.with({ primaryKey: true });
  }
  min(value: unknown) {
    return this.constrained(this.isSized ? { min_length: value as number } : { ge: this.bound(value) });
  }
  max(value: unknown) {
    return this.constrained(this.isSized ? { max_length: value as number } : { le: this.bound(value) });
  }
  gt(value: unknown) {
    return this.constrained({ gt: this.bound(value) });
  }
  lt(value: unknown) {
    return this.constrained({ lt: this.bound(value) });
  }
  multipleOf(step: unknown) {
    return this.constrained({ multiple_of: this.bound(step) });
  }
  digits(maximum: number, places?: number) {
    return this.constrained({ max_digits: maximum, ...(places === undefined ? {} : { decimal_places: places }) });
  }
  pattern(expression: string | RegExp) {
    return this.constrained({ pattern: typeof expression === "string" ? expression : patternText(expression) });
  }
  generated(by?: Generated) {
    return this.with({ generated: by ?? (this.definition.kind === "uuid" ? "uuid" : "object_id") });
  }
  autoIncrement() {
    return this.with({ generated: "auto_increment" });
  }
  createdAt() {
    return this.auto("created");
  }
  updatedAt() {
    return this.auto("updated");
  }
  version() {
    return this.auto("version", { default: { value: 1 } });
  }
  deletedAt() {
    return this.auto("deleted", { nullable: true });
  }
  deletedFlag() {
    return this.auto("deleted_flag");
  }
  searchOf(sources: readonly string[]) {
    return this.auto("search", { nullable: true, search: [...sources] });
  }

  /** A bound as the kind stores it, so that the contract says exactly what is compared. */
  private bound(value: unknown): unknown {
    switch (this.definition.kind) {
      case "decimal":
        return new Decimal(value as Decimal);
      case "datetime":
        return value instanceof Date ? value : { $date: String(value) };
      case "date":
        return { $day: String(value) };
      case "time":
        return { $time: String(value) };
      default:
        return value;
    }
  }
}

const FLAGS: Record<string, string> = { i: "i", m: "m", s: "s" };

/** The source of a regular expression with its flags inside, as the core reads it. */
export function patternText(expression: RegExp): string {
  const flags = regexFlags(expression);
  return flags === "" ? expression.source : `(?${flags})${expression.source}`;
}

/** The flags that the core knows; `u` and `v` are always on there, `g` and `y` mean nothing to a test. */
export function regexFlags(expression: RegExp): string {
  return [...expression.flags].map((flag) => FLAGS[flag] ?? "").join("");
}

interface Plain<Out, In = Out> {
  out: Out;
  in: In;
  optional: false;
  key: false;
}
type OutOf<F> = F extends Field<infer S> ? S["out"] : unknown;
type InOf<F> = F extends Field<infer S> ? S["in"] : unknown;
type ShapeOf<F> = F extends Model<infer M> ? M : F extends Fields ? F : never;
type Extra<X extends boolean> = X extends true ? Record<string, unknown> : unknown;

function build<B extends Field<State>>(kind: Kind, part: Partial<FieldDefinition> = {}): B {
  return new FieldBuilder({ kind, ...part }) as unknown as B;
}

function constraints(part: Constraints): Partial<FieldDefinition> {
  const given = Object.entries(part).filter(([, value]) => value !== undefined);
  return given.length === 0 ? {} : { constraints: Object.fromEntries(given) };
}

/** Limits of a text, in characters. */
export interface StringOptions {
  minLength?: number;
  maxLength?: number;
  /** A regular expression that is searched in the text (syntax of Rust's `regex`; no look-around). */
  pattern?: string | RegExp;
}
/** Limits of a number. */
export interface NumberOptions<N> {
  min?: N;
  max?: N;
}
/** Limits of bytes or of a list. */
export interface LengthOptions {
  minLength?: number;
  maxLength?: number;
}

function lengths(options: LengthOptions): Constraints {
  return { min_length: options.minLength, max_length: options.maxLength } as Constraints;
}
function bounds(options: NumberOptions<unknown>): Constraints {
  return { ge: options.min, le: options.max };
}

/** Declares fields: `f.string({ maxLength: 100 }).index()`. */
export const f = {
  /** Text. */
  string(options: StringOptions = {}): StringField<Plain<string>> {
    const field = build<StringField<Plain<string>>>("text", constraints(lengths(options)));
    return options.pattern === undefined ? field : field.pattern(options.pattern);
  },
  /** One of these texts, or one of these whole numbers. */
  enum<const V extends readonly [string, ...string[]] | readonly [number, ...number[]]>(
    values: V,
  ): EnumField<Plain<V[number]>> {
    const kind: Kind = typeof values[0] === "number" ? "int" : "text";
    return build(kind, { constraints: { enum: [...values] } });
  },
  /** A 64-bit integer: read as a number; as a bigint only where a number would not be exact (see {@link f.bigint}). */
  int(options: NumberOptions<number | bigint> = {}): IntField<Plain<number, number | bigint>> {
    return build("int", constraints(bounds(options)));
  },
  /** A 64-bit integer, always read as a bigint. */
  bigint(options: NumberOptions<number | bigint> = {}): IntField<Plain<bigint, number | bigint>> {
    return build("int", { bigint: true, ...constraints(bounds(options)) });
  },
  /** A 64-bit float. */
  float(options: NumberOptions<number> = {}): FloatField<Plain<number>> {
    return build("float", constraints(bounds(options)));
  },
  /** An exact decimal number. */
  decimal(): DecimalField<Plain<Decimal, Decimal | string | bigint>> {
    return build("decimal");
  },
  /** True or false. */
  bool(): BoolField<Plain<boolean>> {
    return build("bool");
  },
  /** A UUID, as text. */
  uuid(): UuidField<Plain<string>> {
    return build("uuid");
  },
  /** A MongoDB object id. */
  objectId(): ObjectIdField<Plain<ObjectId, ObjectId | string>> {
    return build("object_id");
  },
  /** A moment in UTC: read as a `Date`, as a `PreciseDate` where it has microseconds. */
  datetime(): DatetimeField<Plain<Date, Date | string>> {
    return build("datetime");
  },
  /** A calendar day, as text such as `2024-01-31`. */
  date(): DateField<Plain<string>> {
    return build("date");
  },
  /** A time of day, as text such as `12:30:00`. */
  time(): TimeField<Plain<string>> {
    return build("time");
  },
  /** Bytes. */
  bytes(options: LengthOptions = {}): BytesField<Plain<Uint8Array>> {
    return build("bytes", constraints(lengths(options)));
  },
  /** Any value; `T` is what you know of it. */
  json<T = unknown>(): JsonField<Plain<T>> {
    return build("any");
  },
  /** A list whose elements fit `items`. */
  list<F extends Field>(items: F, options: LengthOptions = {}): ListField<Plain<OutOf<F>[], readonly InOf<F>[]>> {
    return build("list", { items: element(items.definition), ...constraints(lengths(options)) });
  },
  /** A map with free keys whose values fit `values`. */
  map<F extends Field>(values: F): MapField<Plain<Record<string, OutOf<F>>, Readonly<Record<string, InOf<F>>>>> {
    return build("map", { values: element(values.definition) });
  },
  /** A nested model: fields, or another model whose keys and indexes do not matter here. */
  object<F extends Fields | Model, X extends boolean = false>(
    fields: F,
    options: { /** Keeps undeclared keys. */ extra?: X } = {},
  ): ObjectField<Plain<Simplify<RowOf<ShapeOf<F>> & Extra<X>>, InputOf<ShapeOf<F>> & Extra<X>>> {
    const declared: Fields = isModel(fields) ? fields.fields : (fields as Fields);
    const inner = Object.entries(declared).map(([name, { definition }]) => {
      return [name, isModel(fields) ? unindexed(nested(definition)) : nested(definition)] as const;
    });
    return build("model", { fields: Object.fromEntries(inner), ...(options.extra ? { extra: true } : {}) });
  },
};

function isModel(value: Fields | Model): value is Model {
  return typeof (value as Model).table === "string" && Array.isArray((value as Model).indexes);
}

/** What a field of a nested model may still say; its indexes become indexes of the table. */
function nested(definition: FieldDefinition): FieldDefinition {
  const { primaryKey: _key, generated: _generated, auto: _auto, search: _search, ...rest } = definition;
  return rest;
}

function unindexed(definition: FieldDefinition): FieldDefinition {
  const { unique: _unique, index: _index, fields, ...rest } = definition;
  if (fields === undefined) return rest;
  const inner = Object.entries(fields).map(([name, field]) => [name, unindexed(field)] as const);
  return { ...rest, fields: Object.fromEntries(inner) };
}

/** What the definition of an element may say. */
function element(definition: FieldDefinition): FieldDefinition {
  if (definition.default !== undefined || definition.column !== undefined || isIndexed(definition)) {
    const message = "what stands in a list or map has neither a default nor a column nor an index";
    throw new FarmDbError("invalid_schema", message);
  }
  return nested(definition);
}

/** Whether the definition asks for an index, at any depth. */
function isIndexed({ index, unique, fields }: FieldDefinition): boolean {
  return index === true || unique === true || Object.values(fields ?? {}).some(isIndexed);
}
