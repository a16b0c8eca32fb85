/** The types of updates. */
import type { Decimal } from "../value/decimal.js";
import type { ObjectId } from "../value/object-id.js";
import type { Condition, Filter, Operand } from "./filter.js";
import type { At, ByPath, Leaf, Path } from "./path.js";

/** What may be stored where a read returns a `V`. */
export type Storable<V> = unknown extends V
  ? unknown
  : V extends number | bigint
    ? number | bigint
    : V extends Decimal
      ? Decimal | string | bigint
      : V extends Date
        ? Date | string
        : V extends ObjectId
          ? ObjectId | string
          : V extends Leaf
            ? V
            : V extends readonly (infer E)[]
              ? readonly Storable<E>[]
              : { [K in keyof V]: Storable<V[K]> };

/** Fields to set; those that are absent or `undefined` stay untouched. */
export type Changes<Input> = { [K in keyof Input]?: Input[K] | undefined };

type NestedPath<T> = Exclude<Path<T>, keyof T>;
type ElementAt<T, P extends string> = NonNullable<At<T, P>> extends readonly (infer E)[] ? E : unknown;
type ListPath<T> = {
  [P in Path<T>]: unknown extends At<T, P> ? P : NonNullable<At<T, P>> extends readonly unknown[] ? P : never;
}[Path<T>];
type Each<E> = {
  $each: readonly Storable<E>[];
  $position?: number;
  $slice?: number;
  $sort?: 1 | -1 | { [path: string]: 1 | -1 };
};

/** Paths with `$`, `$[]` or `$[name]`, which stand for elements; what they hold is checked by the core. */
type Positional<V = unknown> = {
  [path: `${string}.$[${string}`]: V;
  [path: `${string}.$.${string}`]: V;
  [path: `${string}.$`]: V;
};

/** Changes written as operators, by attribute or dotted path. */
export interface UpdateOperators<T, Input> {
  $set?: Changes<Input> & { [P in NestedPath<T>]?: Storable<At<T, P>> } & Positional;
  $unset?: { [P in Path<T>]?: true | 1 | "" } & Positional<true | 1 | "">;
  $inc?: ByPath<T, number | bigint | Decimal, number | bigint | Decimal> & Positional<number | bigint | Decimal>;
  $mul?: ByPath<T, number | bigint | Decimal, number | bigint | Decimal> & Positional<number | bigint | Decimal>;
  $min?: { [P in Path<T>]?: Storable<At<T, P>> } & Positional;
  $max?: { [P in Path<T>]?: Storable<At<T, P>> } & Positional;
  $currentDate?: ByPath<T, Date, true> & Positional<true>;
  $rename?: { [P in NestedPath<T>]?: NestedPath<T> };
  $push?: { [P in ListPath<T>]?: Storable<ElementAt<T, P>> | Each<ElementAt<T, P>> } & Positional;
  $addToSet?: {
    [P in ListPath<T>]?: Storable<ElementAt<T, P>> | { $each: readonly Storable<ElementAt<T, P>>[] };
  } & Positional;
  $pull?: { [P in ListPath<T>]?: PullOf<ElementAt<T, P>> } & Positional;
  $pullAll?: { [P in ListPath<T>]?: readonly Operand<ElementAt<T, P>>[] } & Positional<readonly unknown[]>;
  $pop?: { [P in ListPath<T>]?: 1 | -1 } & Positional<1 | -1>;
}
type PullOf<E> = unknown extends E ? unknown : NonNullable<E> extends Leaf ? Condition<E> : Filter<NonNullable<E>>;

/** What `update` and its kin take: fields to set, or operators. */
export type Update<T, Input> = Changes<Input> | UpdateOperators<T, Input>;
