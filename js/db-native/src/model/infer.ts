/** From fields to the types of rows, of records on their way in, and of keys. */
import type { Field, Fields, State } from "./field.js";
import type { AnyModel, Model, NoRelations } from "./model.js";

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

type FieldsOf<M> = M extends { readonly fields: infer F extends Fields } ? F : never;
type RelationsOf<M> = M extends { readonly relations: infer R }
  ? string extends keyof R
    ? NoRelations
    : R
  : NoRelations;

type TargetOf<D> = D extends { readonly target: infer T extends AnyModel } ? T : never;
/** A list of rows, or one or none. */
type Side<D, Row> = D extends { readonly kind: "one_to_many" | "many_to_many" } ? Row[] : Row | null;
type Untyped = Readonly<Record<string, unknown>>;

/** What conditions may be about: the fields of a model, and those of the rows that are related to its rows. */
export type Conditions<M> = RowOf<FieldsOf<M>> & {
  -readonly [N in keyof RelationsOf<M>]: Side<
    RelationsOf<M>[N],
    [TargetOf<RelationsOf<M>[N]>] extends [never] ? Untyped : Conditions<TargetOf<RelationsOf<M>[N]>>
  >;
};
/** The relations that `include` may name: `author`, `author.company`. */
export type Include<M> = (keyof RelationsOf<M> & string) | `${keyof RelationsOf<M> & string}.${string}`;
type First<P extends string> = P extends `${infer N}.${string}` ? N : P;
type Rest<P extends string, N extends string> = P extends `${N}.${infer R}` ? R : never;
/** What rows have beside their fields when these relations are included. */
export type Included<M, I extends string> = {
  -readonly [N in Extract<First<I>, keyof RelationsOf<M>>]: Side<
    RelationsOf<M>[N],
    [TargetOf<RelationsOf<M>[N]>] extends [never]
      ? Untyped
      : Simplify<RowOf<FieldsOf<TargetOf<RelationsOf<M>[N]>>> & Included<TargetOf<RelationsOf<M>[N]>, Rest<I, N>>>
  >;
};

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
