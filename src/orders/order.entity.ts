import { Column, Entity, Index, JoinColumn, ManyToOne, type ValueTransformer, VirtualColumn } from 'typeorm';
import { User } from '../users/user.entity';

/** Converts ids to text, because the driver may parse bigint as a number. */
const asText: ValueTransformer = { to: (value) => value, from: String };

@Entity({ name: 'orders' })
@Index('orders_of_user', ['userId', 'id'])
export class Order {
  @Column({
    type: 'bigint',
    primary: true,
    generated: 'increment',
    primaryKeyConstraintName: 'orders_pkey',
    transformer: asText,
  })
  id!: string;

  @Column({ name: 'user_id', type: 'bigint', transformer: asText })
  userId!: string;

  @ManyToOne(() => User, { onDelete: 'CASCADE' })
  @JoinColumn({ name: 'user_id', foreignKeyConstraintName: 'orders_user_id_fkey' })
  user?: User;

  @Column({ type: 'varchar' })
  item!: string;

  @Column({ type: 'integer' })
  quantity!: number;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()', select: false })
  madeAt?: Date;

  /**
   * Creation time as ISO 8601 in UTC. The text does not depend on the date style of the database.
   */
  @VirtualColumn({
    type: 'text',
    query: (order) => `to_char(${order}.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`,
  })
  createdAt!: string;
}
