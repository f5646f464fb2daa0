/**
 * A row stayed as it was, or is missing, though the statement succeeded: a policy, a rule or a trigger
 * of the application can undo what it does in silence.
 */
export class KeyNotWritten extends Error {
  readonly code = 'KEY_NOT_WRITTEN';

  constructor(does: 'revokes' | 'deletes' | 'ends' | 'changes' | 'inserts') {
    super(
      `PostgreSQL ${does} no such key: a row security policy, a rule or a trigger on api_keys suppressed it. ` +
        'Let the role of the data source change all rows of api_keys.',
    );
  }
}
