/**
 * One database layer for FastAPI and Node apps: models, repositories and exact values over the Rust core.
 *
 * @packageDocumentation
 */
export { Database, type DatabaseOptions, type Facts, type Health, type Introspection } from "./database.js";
export { ERROR_TABLE, FarmDbError, type FarmDbErrorCode, type FarmDbErrorContext } from "./error.js";
export { f, type LengthOptions, type NumberOptions, type StringOptions } from "./model/builder.js";
export { type ContractOptions, contractOf, modelsFromContract } from "./model/contract.js";
export type { Auto, Constraints, FieldDefinition, Generated, Kind } from "./model/definition.js";
export type { Field, Fields } from "./model/field.js";
export type { Include, Included, Infer, InferInput, InferKey } from "./model/infer.js";
export {
  type AnyModel,
  defineModel,
  type IndexDefinition,
  type Model,
  type ModelOptions,
  type RelationDefinition,
  type Relations,
} from "./model/model.js";
export type { Environment } from "./native.js";
export type { Condition, Filter, Operators, TypeName } from "./query/filter.js";
export type {
  AggregateOptions,
  CallOptions,
  ElementOptions,
  FindOptions,
  GetOptions,
  GroupKey,
  Measure,
  Page,
  PageOptions,
  SelectOptions,
  Sort,
  WriteOptions,
} from "./query/options.js";
export type { At, Path } from "./query/path.js";
export type { Changes, Update, UpdateOperators } from "./query/update.js";
export { ALL, Repository } from "./repository.js";
export { Transaction, type TransactionOptions } from "./transaction.js";
export { Decimal } from "./value/decimal.js";
export { ObjectId } from "./value/object-id.js";
export { PreciseDate } from "./value/precise-date.js";
