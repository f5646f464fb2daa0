import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround('all as PostgreSQL sends it', ['service', 'lifecycle', 'usage']);
