import { type ApiKey, type ApiKeyState, describeKey, type Page } from '../index';
import { noSuchKey } from './failures';
import type { KeysCliHost, KeysSession } from './host';
import { inSession, ownerOf } from './in-session';
import { type Output, write, writeKey } from './output';
import { renderEvents, renderTable, renderUsage } from './render';

const PAGE = 100;

export interface ListOptions extends Output {
  readonly user?: string;
  readonly state?: ApiKeyState;
  readonly search?: string;
}

export function listKeys(host: KeysCliHost, options: ListOptions): Promise<void> {
  return inSession(host, async (session) => {
    const now = new Date();
    const described = (await everyKey(session, options)).map((apiKey) => describeKey(apiKey, now));
    write(host, options, described, () => renderTable(described));
  });
}

export function showKey(host: KeysCliHost, id: string, output: Output): Promise<void> {
  return inSession(host, async ({ keys }) => {
    const apiKey = await keys.get(id);
    if (!apiKey) throw noSuchKey(id);
    writeKey(host, output, apiKey);
  });
}

export function showEvents(host: KeysCliHost, id: string, output: Output): Promise<void> {
  return inSession(host, async ({ keys }) => {
    const found = await everyPage(async (cursor) => {
      const page = await keys.events(id, { limit: PAGE, cursor });
      if (!page) throw noSuchKey(id);
      return page;
    });
    write(host, output, found, () => renderEvents(found));
  });
}

export function showUsage(host: KeysCliHost, id: string, output: Output): Promise<void> {
  return inSession(host, async ({ keys }) => {
    const used = await keys.usage(id);
    if (!used) throw noSuchKey(id);
    write(host, output, used, () => renderUsage(used));
  });
}

async function everyKey(session: KeysSession, { user, state, search }: ListOptions): Promise<ApiKey[]> {
  const filter = {
    ...(user !== undefined && { userId: await ownerOf(session, user, { create: false }) }),
    ...(state && { state }),
    ...(search !== undefined && { search }),
    limit: PAGE,
  };
  return everyPage((cursor) => session.keys.list({ ...filter, cursor }));
}

async function everyPage<Item>(read: (cursor: string | null) => Promise<Page<Item>>): Promise<Item[]> {
  const found: Item[] = [];
  let cursor: string | null = null;
  do {
    const page: Page<Item> = await read(cursor);
    found.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return found;
}
