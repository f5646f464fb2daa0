import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround(['German dates', 'int8 as a number'], ['service', 'lifecycle', 'usage']);
