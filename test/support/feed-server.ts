import { EventEmitter } from 'node:events';
import type { Client, Notification } from 'pg';

/** Fields of a statement that the driver receives. */
interface Asked {
  readonly name?: string;
  readonly text: string;
  readonly values?: readonly string[];
  readonly query_timeout?: number;
}

const ALL_TRIGGERS = [
  ...['insert', 'update', 'delete', 'truncate'].map((event) => [`nestjs_api_key_feed_${event}`, 'A']),
  ['nestjs_api_key_feed_replicated', 'R'],
];

/**
 * Simulates PostgreSQL for the revocation feed, in this process. Answers the statements of the feed
 * and sends notifications to connections that listen. An unknown statement is an error.
 */
export class FeedServer {
  readonly clients: FeedClient[] = [];
  /** Purpose of each statement that the server received, in order. */
  readonly asked: string[] = [];
  /** Purpose of each statement that the server answered, in order. */
  readonly answered: string[] = [];
  readonly statements: Asked[] = [];
  oid: string | null = '17';
  usage = '0.125';
  standby = 'false';
  listens = 'true';
  trustKnown = 'true';
  silent = '';
  definition = '1';
  /** Triggers of the table of keys, with their states. */
  triggers = new Map(ALL_TRIGGERS as [string, string][]);
  /** Names of tables that contain rows of the table of keys but have no trigger of the feed. */
  unheard: string[] = [];
  /** Whether a notification with this payload is lost. */
  loses: (payload: string) => boolean = () => false;
  /**
   * Function that runs before each statement is answered. If the function throws, the statement
   * fails.
   */
  before: (purpose: string) => void | Promise<void> = () => {};

  /** Creates a client that is not connected yet. */
  newClient(name: string): Client {
    const client = new FeedClient(this, name);
    this.clients.push(client);
    return client as unknown as Client;
  }

  notify(channel: string, payload: string): void {
    if (this.loses(payload)) return;
    for (const client of this.clients.filter(({ channels }) => channels.has(channel)))
      client.emit('notification', { channel, payload, processId: 1 } satisfies Notification);
  }

  async answer(client: FeedClient, asked: Asked): Promise<object[]> {
    const [purpose, rows] = this.plan(client, asked);
    this.asked.push(purpose);
    this.statements.push(asked);
    await this.before(purpose);
    const answer = rows();
    this.answered.push(purpose);
    return answer;
  }

  private plan(client: FeedClient, { text, values = [] }: Asked): [string, () => object[]] {
    const [channel = '', payload = ''] = values;
    const state = () => ({
      oid: this.oid,
      standby: this.standby,
      usage: this.usage,
      silent: this.silent,
      definition: this.definition,
    });
    if (text === 'SET search_path = pg_catalog, pg_temp; SET row_security = off')
      return ['own names', () => []];
    if (
      /pg_is_in_recovery\(\).*AS standby, pg_notification_queue_usage\(\)::numeric::text AS usage,\s.* AS silent, .* AS definition$/s.test(
        text,
      )
    )
      return [`begin ${channel}`, () => [state()]];
    if (/c\.relkind NOT IN/.test(text))
      return [`kin ${channel}`, () => this.unheard.map((name) => ({ name }))];
    if (text.startsWith('SELECT tgname, tgenabled'))
      return [
        `triggers ${channel}`,
        () => [...this.triggers].map(([tgname, enabled]) => ({ tgname, state: enabled })),
      ];
    if (/set_config\(name, '0', false\) FROM pg_settings WHERE name = 'idle_session_timeout'/.test(text))
      return ['keep', () => []];
    if (text.startsWith('LISTEN '))
      return [
        text.replace(/[0-9a-f]{24}/, '(own)'),
        () => {
          client.channels.add(text.slice(7));
          return [];
        },
      ];
    if (text === 'SELECT pg_catalog.pg_notify($1, $2)')
      return [
        `${client.name}: ${payload}`,
        () => {
          this.notify(channel, payload);
          return [];
        },
      ];
    if (
      /^SELECT pg_notify\(\$1, \$2\), to_regclass\(\$3\).* AS listens,\s.* AS silent, .* AS definition, pg_notification_queue_usage\(\)::numeric::text AS usage$/s.test(
        text,
      )
    )
      return [
        `heartbeat ${payload}`,
        () => {
          const row = { ...state(), listens: this.listens, trust_known: this.trustKnown };
          this.notify(channel, payload);
          return [row];
        },
      ];
    throw new Error(`not a statement of the feed: ${text}`);
  }
}

class FeedClient extends EventEmitter {
  readonly channels = new Set<string>();
  readonly events: string[] = [];
  readonly connection = { stream: { destroy: () => void this.events.push('destroyed') } };

  constructor(
    private readonly server: FeedServer,
    readonly name: string,
  ) {
    super();
  }

  async connect(): Promise<void> {
    this.events.push('connected');
    await this.server.before(`connect ${this.name}`);
  }

  unref(): void {
    this.events.push('unreferenced');
  }

  async query(asked: Asked): Promise<{ rows: object[] }> {
    return { rows: await this.server.answer(this, asked) };
  }

  async end(): Promise<void> {
    this.events.push('ended');
    this.channels.clear();
    this.emit('end');
  }
}
