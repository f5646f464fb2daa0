import { Injectable } from '@nestjs/common';
import { KeyForms } from '../credential/key-forms';
import { Database } from '../database/database';
import { number } from '../database/fields';
import { wordsOf } from '../model/error-words';
import type { BootCheck } from './boot-check';

/** The check reads at most this number of rows, because the table may have a billion. */
const ROWS = 50_000;
/** SQL of the prefix of a stored key: all before the last `_` of its visible start. */
const PREFIX = "substring(key_prefix from '^(.*)_[^_]*$')";

/** Warns about live keys whose prefix is not accepted, because their requests are refused. */
@Injectable()
export class PrefixCheck implements BootCheck {
  constructor(
    private readonly database: Database,
    private readonly forms: KeyForms,
  ) {}

  async warnings(): Promise<readonly string[]> {
    try {
      const { refused, read } = await this.count();
      if (refused === 0) return [];
      const extent = read < ROWS ? '' : ` of the ${ROWS} that were checked`;
      return [
        `${refused} live keys${extent} have a prefix that is not accepted, and are refused. ` +
          'Add their prefix to option "acceptedPrefixes" (column key_prefix), or revoke them.',
      ];
    } catch (error) {
      return [`Keys with a prefix that is not accepted could not be counted: ${wordsOf(error)}`];
    }
  }

  private async count(): Promise<{ readonly refused: number; readonly read: number }> {
    const { prefixes, hex } = this.forms.accepted;
    const row = await this.database.read((session) =>
      session.row(
        `SELECT count(*) FILTER (WHERE is_live AND NOT is_accepted)::text AS refused, count(*)::text AS read
         FROM (SELECT revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp()) AS is_live,
             coalesce(${PREFIX} = ANY ($1::text[]), $2::boolean AND key_prefix ~ '^[0-9a-f]+$') AS is_accepted
           FROM ${session.tables.keys} LIMIT ${ROWS}) AS checked`,
        [prefixes, hex],
      ),
    );
    return { refused: number(row, 'refused'), read: number(row, 'read') };
  }
}
