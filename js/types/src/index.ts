/**
 * Configuration types of FARM apps.
 *
 * @packageDocumentation
 */
export { defineConfig, type FarmConfig } from "./config.js";
export type {
  BackupConfig,
  BackupStorage,
  DatabaseConfig,
  DatabaseDependencies,
  DatabaseFeature,
  DatabaseOptions,
  DatabaseProvider,
  DatabaseType,
  DevelopmentConfig,
  DockerServiceConfig,
  MigrationConfig,
  MongoDbConfig,
  MonitoringConfig,
  PoolConfig,
  PostgresqlConfig,
  TemplateConfig,
} from "./database.js";
export type {
  BaseModelField,
  FieldConstraints,
  IndexDefinition,
  ModelDefinition,
  ModelRelationship,
} from "./model.js";
