import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

/**
 * A user in the table of Rails. Only the columns that the app needs are mapped: id and email
 * address.
 */
@Entity({ name: 'users', synchronize: false })
export class User {
  @PrimaryGeneratedColumn({ type: 'bigint' })
  id!: string;

  @Column({ type: 'varchar' })
  email!: string;

  @Column({ name: 'created_at', type: 'timestamp', select: false })
  createdAt?: Date;

  @Column({ name: 'updated_at', type: 'timestamp', select: false })
  updatedAt?: Date;
}
