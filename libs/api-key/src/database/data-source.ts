/** Token of the TypeORM data source that the keys live in. */
export const API_KEY_DATA_SOURCE = Symbol('API_KEY_DATA_SOURCE');

/** Token of the door to it, a `Database`. */
export const API_KEY_DATABASE = Symbol('API_KEY_DATABASE');
