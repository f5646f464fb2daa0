import { Client } from 'pg';
import { until } from './until';

const END = 'nothing more';

export async function connect(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  await client.connect();
  return client;
}

/** Receives the notifications of the revocation feed of a database. */
export class Hearing {
  private readonly heard: string[] = [];

  private constructor(
    private readonly client: Client,
    private readonly channel: string,
  ) {
    client.on('notification', ({ payload = '' }) => void this.heard.push(payload));
  }

  static async of(url: string): Promise<Hearing> {
    const client = await connect(url);
    const { rows } = await client.query(
      `SELECT 'nestjs_api_key_feed_' || 'public.api_keys'::regclass::oid AS channel`,
    );
    const channel: string = rows[0].channel;
    await client.query(`LISTEN ${channel}`);
    return new Hearing(client, channel);
  }

  /** Returns the payloads that committed changes have sent since the last call. */
  async told(): Promise<string[]> {
    await this.client.query('SELECT pg_notify($1, $2)', [this.channel, END]);
    await until(() => this.heard.includes(END));
    return this.heard.splice(0).filter((payload) => payload !== END);
  }

  end(): Promise<void> {
    return this.client.end();
  }
}
