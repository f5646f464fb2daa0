/**
 * A statement succeeded, but the row was not written. A row security policy, a rule or a trigger of
 * the application can suppress a write without an error.
 */
export class KeyNotWritten extends Error {
  readonly code = 'KEY_NOT_WRITTEN';

  constructor(does: 'revokes' | 'disables' | 'enables' | 'deletes' | 'ends' | 'changes' | 'inserts') {
    super(
      `The statement that ${does} the key changed no row: a row security policy, a rule or a trigger on api_keys suppressed it. ` +
        'Allow the role of the data source to change all rows of api_keys.',
    );
  }
}
