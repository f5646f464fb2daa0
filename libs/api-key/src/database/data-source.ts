/** Injection token of the TypeORM data source in which the keys are stored. */
export const API_KEY_DATA_SOURCE = Symbol('API_KEY_DATA_SOURCE');
