/** From fields to the types of rows, of records on their way in, and of keys. */
import type { Field, Fields, State } from "./field.js";
import type { Model } from "./model.js";

/** @internal */
export type Simplify<T> = { [K in keyof T]: T[K] } & {};

type StateOf<F> = F extends Field<infer S> ? S : State;
type OptionalKeys<F extends Fields> = {
  [K in keyof F]: StateOf<F[K]>["optional"] extends true ? K : never;
}[keyof F];
type KeyNames<F extends Fields> = {
  [K in keyof F]: StateOf<F[K]>["key"] extends true ? K : never;
}[keyof F];

/** @internal */
export type RowOf<F extends Fields> = { -readonly [K in keyof F]: StateOf<F[K]>["out"] };
/** @internal */
export type InputOf<F extends Fields> = Simplify<
  { -readonly [K in Exclude<keyof F, OptionalKeys<F>>]: StateOf<F[K]>["in"] } & {
    -readonly [K in OptionalKeys<F>]?: StateOf<F[K]>["in"];
  }
>;

type FieldsOf<M> = M extends Model<infer F> ? F : never;

/** What a read of the model returns. */
export type Infer<M extends Model> = RowOf<FieldsOf<M>>;
/** What `create` takes: fields that are nullable, generated, automatic or have a default may be left out. */
export type InferInput<M extends Model> = InputOf<FieldsOf<M>>;

type IsUnion<T, U = T> = T extends unknown ? ([U] extends [T] ? false : true) : never;
type Single<T> = [T] extends [never] ? false : IsUnion<T> extends false ? true : false;
type KeyOf<F extends Fields> = string extends keyof F
  ? unknown
  : Single<KeyNames<F>> extends true
    ? StateOf<F[KeyNames<F>]>["in"]
    : { [K in KeyNames<F>]: StateOf<F[K]>["in"] };
/** What identifies a row: the value of its key field, or an object of the fields of a composite key. */
export type InferKey<M extends Model> = KeyOf<FieldsOf<M>>;
