import { type ApiKey, type ApiKeyState, describeKey, type ListApiKeysInput, type Page } from '../index';
import { noSuchKey } from './failures';
import type { KeysCliHost, KeysSession } from './host';
import { inSession, namesOwner, type OwnerOptions, ownerOf } from './in-session';
import { type Output, write, writeKey } from './output';
import { renderEvents, renderTable, renderUsage } from './render';

const PAGE = 100;

export interface ListOptions extends Output, OwnerOptions {
  readonly state?: ApiKeyState;
  readonly search?: string;
}

export async function listKeys(host: KeysCliHost, options: ListOptions): Promise<void> {
  const isOfOwner = namesOwner(options);
  await inSession(host, async (session) => {
    const now = new Date();
    const { state, search } = options;
    const owner = isOfOwner ? { userId: await ownerOf(session, options) } : {};
    const found = await everyKey(session, { ...owner, state, search });
    const described = found.map((apiKey) => describeKey(apiKey, now));
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

function everyKey({ keys }: KeysSession, filter: ListApiKeysInput): Promise<ApiKey[]> {
  return everyPage((cursor) => keys.list({ ...filter, limit: PAGE, cursor }));
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
