import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

/**
 * The model of an API key in the Rails app: the columns of the Rails table, `expired?` and
 * `has_scope?`.
 */
@Entity({ name: 'api_keys', synchronize: false })
export class RailsApiKey {
  @PrimaryGeneratedColumn({ type: 'bigint' })
  id!: string;

  @Column({ name: 'user_id', type: 'bigint' })
  userId!: string;

  @Column({ type: 'varchar' })
  name!: string;

  @Column({ name: 'key_digest', type: 'varchar' })
  keyDigest!: string;

  @Column({ name: 'key_prefix', type: 'varchar' })
  keyPrefix!: string;

  @Column({ type: 'text', array: true })
  scopes!: string[];

  @Column({ name: 'last_used_at', type: 'timestamptz', nullable: true })
  lastUsedAt!: Date | null;

  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt!: Date | null;

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  @Column({ name: 'updated_at', type: 'timestamptz' })
  updatedAt!: Date;

  isExpired(): boolean {
    return this.expiresAt !== null && this.expiresAt.getTime() <= Date.now();
  }

  hasScope(scope: string): boolean {
    return this.scopes.includes(scope);
  }
}
