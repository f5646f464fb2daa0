import { Client } from 'pg';

/** Collects the texts of all statements of this process until `restore` is called. */
export function watchStatements(): { readonly texts: () => string[]; readonly restore: () => void } {
  const query = jest.spyOn(Client.prototype, 'query');
  return {
    texts: () => query.mock.calls.map(([sent]) => textOf(sent)),
    restore: () => query.mockRestore(),
  };
}

function textOf(sent: unknown): string {
  return typeof sent === 'string' ? sent : String((sent as { text?: unknown }).text);
}
