/** The states of a key. `active`: the key works now. `disabled`: until the key is enabled. */
export const API_KEY_STATES = ['active', 'expired', 'disabled', 'revoked'] as const;

/** The state of a key. */
export type ApiKeyState = (typeof API_KEY_STATES)[number];
