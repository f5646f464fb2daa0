import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround('tables that have names of types', ['service', 'lifecycle', 'quota', 'policy']);
