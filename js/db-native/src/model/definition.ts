/** What a field is, as plain data: the part of a model that exists at run time. */

/** The type of a field, as the contract spells it. */
export type Kind =
  | "text"
  | "int"
  | "float"
  | "decimal"
  | "bool"
  | "uuid"
  | "object_id"
  | "datetime"
  | "date"
  | "time"
  | "bytes"
  | "any"
  | "list"
  | "map"
  | "model";

/** What the core fills in by itself. */
export type Auto = "created" | "updated" | "version" | "deleted" | "deleted_flag" | "search";

/** Who makes a key that a record does not have. */
export type Generated = "auto_increment" | "uuid" | "object_id";

/** What values must satisfy beside their type, by the contract's names. */
export interface Constraints {
  readonly min_length?: number;
  readonly max_length?: number;
  readonly pattern?: string;
  readonly enum?: readonly unknown[];
  readonly ge?: unknown;
  readonly gt?: unknown;
  readonly le?: unknown;
  readonly lt?: unknown;
  readonly multiple_of?: unknown;
  readonly max_digits?: number;
  readonly decimal_places?: number;
}

/** A value that the contract holds, or a function that this side calls on each `create`. */
export type Default = { readonly value: unknown } | { readonly make: () => unknown };

/** Everything that is known of a field. */
export interface FieldDefinition {
  readonly kind: Kind;
  /** Reads ints as bigint, always. */
  readonly bigint?: boolean;
  /** The element definition of a list. */
  readonly items?: FieldDefinition;
  /** The value definition of a map. */
  readonly values?: FieldDefinition;
  /** The fields of a nested model, by attribute. */
  readonly fields?: Readonly<Record<string, FieldDefinition>>;
  /** Whether a nested model keeps undeclared keys. */
  readonly extra?: boolean;
  /** The stored name, where it is not the attribute's. */
  readonly column?: string;
  readonly nullable?: boolean;
  readonly default?: Default;
  readonly primaryKey?: boolean;
  readonly unique?: boolean;
  readonly index?: boolean;
  readonly generated?: Generated;
  readonly auto?: Auto;
  /** The attributes and paths whose words a search field has. */
  readonly search?: readonly string[];
  readonly constraints?: Constraints;
}
