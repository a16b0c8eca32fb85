/** The databases of a FARM app and how they are configured. */

/** The kinds of databases that a configuration can name. */
export type DatabaseType = "mongodb" | "postgresql" | "mysql" | "sqlite" | "sqlserver";

/** The `database` part of `farm.config.ts`. */
export interface DatabaseConfig {
  /** The kind of database; follows from `url` where it is absent. */
  type?: DatabaseType;
  /** Where it is, such as `sqlite:///app.db` or `postgresql://user@host/app`. `DATABASE_URL` wins over it. */
  url?: string;
  options?: DatabaseOptions;
  /** The connection pool. */
  pool?: PoolConfig;
  /** What only MongoDB understands. */
  mongodb?: MongoDbConfig;
  /** What only PostgreSQL understands. */
  postgresql?: PostgresqlConfig;
  /** Performance and monitoring. */
  monitoring?: MonitoringConfig;
  migrations?: MigrationConfig;
  development?: DevelopmentConfig;
  backup?: BackupConfig;
}

/** Options in one place, as the first plan of FARM had them; the parts of {@link DatabaseConfig} win over them. */
export interface DatabaseOptions {
  /** The most connections at once. */
  poolSize?: number;
  /** How long to wait for a connection, in milliseconds. */
  timeout?: number;
  ssl?: boolean;
  /** MongoDB: the name of the replica set. */
  replicaSet?: string;
  /** MongoDB: the database that holds the user. */
  authSource?: string;
  /** PostgreSQL: the schema to work in. */
  schema?: string;
  /** Creates missing tables, columns and indexes on connect; never drops. */
  synchronize?: boolean;
  /** Logs statements. */
  logging?: boolean;
}

/** The connection pool. */
export interface PoolConfig {
  minSize?: number;
  maxSize?: number;
  acquireTimeoutMs?: number;
  idleTimeoutMs?: number;
}

/** What only MongoDB understands. */
export interface MongoDbConfig {
  authSource?: string;
  replicaSet?: string;
  retryWrites?: boolean;
  w?: number | "majority" | (string & {});
  readPreference?: "primary" | "primaryPreferred" | "secondary" | "secondaryPreferred" | "nearest";
  maxIdleTimeMS?: number;
  serverSelectionTimeoutMS?: number;
}

/** What only PostgreSQL understands. */
export interface PostgresqlConfig {
  ssl?: boolean;
  poolSize?: number;
  maxOverflow?: number;
  /** Seconds. */
  poolTimeout?: number;
  /** Seconds. */
  poolRecycle?: number;
  schema?: string;
}

/** Performance and monitoring. */
export interface MonitoringConfig {
  enabled?: boolean;
  /** Milliseconds from which a query is reported as slow. */
  slowQueryThreshold?: number;
  metricsRetentionHours?: number;
  /** Seconds between health checks. */
  healthCheckInterval?: number;
}

/** Migrations. */
export interface MigrationConfig {
  enabled?: boolean;
  directory?: string;
  /** SQL databases: the table of applied migrations. */
  tableName?: string;
  /** MongoDB: the collection of applied migrations. */
  collectionName?: string;
  /** Applies pending migrations when the app starts. */
  autoRun?: boolean;
  backupBeforeMigration?: boolean;
}

/** What happens while developing. */
export interface DevelopmentConfig {
  seedDatabase?: boolean;
  dropOnRestart?: boolean;
  showQueries?: boolean;
}

/** Backups. */
export interface BackupConfig {
  enabled?: boolean;
  /** A cron expression. */
  schedule?: string;
  /** Days to keep. */
  retention?: number;
  storage?: BackupStorage;
}

/** Where backups are kept. */
export interface BackupStorage {
  type: "local" | "s3" | "gcp";
  bucket?: string;
  path?: string;
}

/** What a database needs around it in a generated app. */
export interface DatabaseProvider {
  type: DatabaseType;
  connectionUrl: string;
  dependencies: DatabaseDependencies;
  dockerConfig: DockerServiceConfig;
  templateConfig: TemplateConfig;
}

/** Packages that a generated app needs. */
export interface DatabaseDependencies {
  python: string[];
  javascript?: string[];
}

/** A service of a Docker Compose file. */
export interface DockerServiceConfig {
  image: string;
  environment: Record<string, string>;
  ports: string[];
  volumes: string[];
  healthCheck?: {
    test: string[];
    interval: string;
    timeout: string;
    retries: number;
  };
}

/** The templates of a database. */
export interface TemplateConfig {
  baseConfigFile: string;
  modelBaseClass: string;
  migrationSupport: boolean;
  features: DatabaseFeature[];
}

/** What a database can do for an app. */
export type DatabaseFeature = "transactions" | "fulltext" | "json" | "arrays" | "relations";
