/** The types of filters: MongoDB's query language over the attributes of a model. */
import type { Decimal } from "../value/decimal.js";
import type { ObjectId } from "../value/object-id.js";
import type { At, Leaf, Path } from "./path.js";

/** The names of `$type`. */
export type TypeName =
  | "null"
  | "bool"
  | "int"
  | "long"
  | "float"
  | "double"
  | "decimal"
  | "number"
  | "text"
  | "string"
  | "bytes"
  | "binData"
  | "object_id"
  | "objectId"
  | "datetime"
  | "date"
  | "list"
  | "array"
  | "map"
  | "object";

type Numeric = number | bigint | Decimal;

/** What a value can be compared with. Lists compare as a whole or by one of their elements. */
export type Operand<V> = unknown extends V
  ? unknown
  : V extends readonly (infer E)[]
    ? Operand<E> | readonly Operand<E>[]
    : V extends number | bigint
      ? Numeric
      : V extends Decimal
        ? Numeric | string
        : V extends Date
          ? Date | string
          : V extends ObjectId
            ? ObjectId | string
            : V;

type Element<V> = V extends readonly (infer E)[] ? E : V;
type Ordered<V> = Exclude<Operand<Element<V>>, null>;
/** Not distributive: `true` where one part of the union fits. */
type Has<V, T> = unknown extends V ? true : [Extract<V, T>] extends [never] ? false : true;

interface ComparisonOperators<V> {
  $eq?: Operand<V>;
  $ne?: Operand<V>;
  $gt?: Ordered<V>;
  $gte?: Ordered<V>;
  $lt?: Ordered<V>;
  $lte?: Ordered<V>;
  $in?: readonly (Operand<V> | RegExp)[];
  $nin?: readonly (Operand<V> | RegExp)[];
  $exists?: boolean;
  $type?: TypeName | readonly TypeName[];
  $not?: Operators<V> | RegExp;
}
interface TextOperators {
  /** Searched in the text (syntax of Rust's `regex`; no look-around). */
  $regex?: string | RegExp;
  /** `i`, `m`, `s`, `x`. */
  $options?: string;
}
interface NumberOperators {
  $mod?: readonly [divisor: number, remainder: number];
}
interface ListOperators<E> {
  $all?: readonly (Operand<E> | { $elemMatch: ElementMatch<E> })[];
  $size?: number;
  $elemMatch?: ElementMatch<E>;
}
type ElementMatch<E> = unknown extends E
  ? Record<string, unknown>
  : NonNullable<E> extends Leaf
    ? Operators<E>
    : Filter<NonNullable<E>>;

/** The operators that a value of type `V` understands. */
export type Operators<V> = ComparisonOperators<V> &
  (Has<Element<V>, string> extends true ? TextOperators : unknown) &
  (Has<Element<V>, number | bigint | Decimal> extends true ? NumberOperators : unknown) &
  (Has<V, readonly unknown[]> extends true ? ListOperators<Element<Extract<V, readonly unknown[]>>> : unknown);

/** A value to be equal to, a regular expression, or operators. */
export type Condition<V> = Operand<V> | Operators<V> | (Has<Element<V>, string> extends true ? RegExp : never);

/**
 * A filter of rows of type `T`: conditions by attribute or dotted path, all of which hold.
 * `undefined` is never a condition: it is refused.
 */
export type Filter<T> = { [P in Path<T>]?: Condition<At<T, P>> } & {
  $and?: readonly Filter<T>[];
  $or?: readonly Filter<T>[];
  $nor?: readonly Filter<T>[];
};
