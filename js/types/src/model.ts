/** Models as plain descriptions, for generating types. */

/** A field of a described model. */
export interface BaseModelField {
  name: string;
  type: string;
  nullable: boolean;
  defaultValue?: unknown;
  constraints?: FieldConstraints;
}

/** What a described field must satisfy. */
export interface FieldConstraints {
  unique?: boolean;
  index?: boolean;
  primaryKey?: boolean;
  maxLength?: number;
  minLength?: number;
  pattern?: string;
}

/** A described model. */
export interface ModelDefinition {
  name: string;
  /** SQL databases. */
  tableName?: string;
  /** MongoDB. */
  collectionName?: string;
  fields: BaseModelField[];
  relationships?: ModelRelationship[];
  indexes?: IndexDefinition[];
}

/** How two described models belong together. */
export interface ModelRelationship {
  name: string;
  type: "one-to-one" | "one-to-many" | "many-to-many";
  targetModel: string;
  foreignKey?: string;
  onDelete?: "cascade" | "set-null" | "restrict";
}

/** An index of a described model. */
export interface IndexDefinition {
  name: string;
  fields: string[];
  unique?: boolean;
  partial?: string;
}
