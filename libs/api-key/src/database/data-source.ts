import type { DataSource } from 'typeorm';

/** Injection token of the TypeORM data source in which the keys are stored. */
export const API_KEY_DATA_SOURCE = Symbol('API_KEY_DATA_SOURCE');

/**
 * Returns whether a value is a data source, also of another copy of TypeORM. A monorepo may have
 * two copies, whose classes differ.
 */
export function isDataSource(value: unknown): value is DataSource {
  if (typeof value !== 'object' || value === null) return false;
  return 'isInitialized' in value && typeof Reflect.get(value, 'createQueryRunner') === 'function';
}
