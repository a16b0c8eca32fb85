/** Dotted paths into a row, and what stands at their end. */
import type { Decimal } from "../value/decimal.js";
import type { ObjectId } from "../value/object-id.js";

/** Values that have no paths inside. */
export type Leaf = string | number | bigint | boolean | null | undefined | Date | Decimal | ObjectId | Uint8Array;

type Shallower = [never, 0, 1, 2, 3];
/** How deep completion goes. */
type Depth = Shallower[number];

type Legs<V, D extends Depth> = unknown extends V
  ? string
  : V extends Leaf
    ? never
    : V extends readonly (infer E)[]
      ? `${number}` | Legs<E, D> | `${number}.${Legs<E, D>}`
      : string extends keyof V
        ? string
        : Path<V, D>;

/** `name`, `profile.city`, `tags.0`, `items.name`: every path that `T` declares, four levels deep. */
export type Path<T, D extends Depth = 3> = [D] extends [never]
  ? never
  : { [K in keyof T & string]: K | `${K}.${Legs<T[K], Shallower[D]>}` }[keyof T & string];

type Inside<V, P extends string> = unknown extends V
  ? unknown
  : V extends Leaf
    ? never
    : V extends readonly (infer E)[]
      ? P extends `${number}`
        ? E
        : P extends `${number}.${infer Rest}`
          ? Inside<E, Rest>
          : Inside<E, P>
      : string extends keyof V
        ? P extends `${string}.${infer Rest}`
          ? Inside<V[keyof V], Rest>
          : V[keyof V]
        : At<V, P>;

/** What stands at a path. */
export type At<T, P extends string> = P extends keyof T
  ? T[P]
  : P extends `${infer First}.${infer Rest}`
    ? First extends keyof T
      ? Inside<T[First], Rest>
      : never
    : never;

/** The paths at whose end a `V` stands (or anything, where the model does not say), mapped to `Value`. */
export type ByPath<T, V, Value> = {
  [P in Path<T> as unknown extends At<T, P> ? P : NonNullable<At<T, P>> extends V ? P : never]?: Value;
};
