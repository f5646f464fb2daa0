import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

/** The owner of a key in the Rails app, with only the columns that a request needs. */
@Entity({ name: 'users', synchronize: false })
export class RailsUser {
  @PrimaryGeneratedColumn({ type: 'bigint' })
  id!: string;

  @Column({ type: 'varchar' })
  email!: string;
}
