import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

/** The Rails model that a key belongs to, as far as a request needs it. */
@Entity({ name: 'users', synchronize: false })
export class RailsUser {
  @PrimaryGeneratedColumn({ type: 'bigint' })
  id!: string;

  @Column({ type: 'varchar' })
  email!: string;
}
