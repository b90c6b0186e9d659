// TLS for a test Postgres: a certificate of its own, which this process trusts from then on as it trusts the public authorities.
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { chownSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import type pg from 'pg';

/** Switches TLS on in the server; clients without it are served as before. @returns the name that the certificate is for. */
export async function serveTls(superuser: pg.Client): Promise<string> {
  const { rows } = await superuser.query('show data_directory');
  const folder: string = rows[0].data_directory;
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const certificate = selfSigned('localhost', publicKey, privateKey);
  const id = createHash('sha256').update(certificate).digest('hex').slice(0, 12); // another test may do the same
  const files = {
    ssl_cert_file: [`${id}.crt`, certificate],
    ssl_key_file: [`${id}.key`, privateKey.export({ type: 'pkcs8', format: 'pem' }) as string],
  } as const;
  const { uid, gid } = statSync(folder);
  for (const [setting, [name, content]] of Object.entries(files)) {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    chownSync(join(folder, name), uid, gid);
    await superuser.query(`alter system set ${setting} = '${name}'`);
  }
  await superuser.query('alter system set ssl = on');
  await superuser.query('select pg_reload_conf()');
  setDefaultCACertificates([...getCACertificates('default'), certificate]);
  const { rows: listening } = await superuser.query('show port');
  while (!(await speaksTls(Number(listening[0].port)))) await wait(20);
  return 'localhost';
}

/** Asks as a client does before it encrypts; the server takes a moment to read its settings again. */
function speaksTls(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(Buffer.from('0000000804d2162f', 'hex')));
    socket.on('error', reject);
    socket.on('data', (answer) => {
      socket.destroy();
      resolve(answer.toString() === 'S');
    });
  });
}

export async function stopTls(superuser: pg.Client): Promise<void> {
  for (const setting of ['ssl', 'ssl_cert_file', 'ssl_key_file'])
    await superuser.query(`alter system reset ${setting}`);
  await superuser.query('select pg_reload_conf()');
}

/** X.509 in the least of DER: one name, an hour ago to a day ahead, its own authority. */
function selfSigned(name: string, publicKey: KeyObject, privateKey: KeyObject): string {
  const ecdsa_sha256 = seq(der(6, '2a8648ce3d040302'));
  const issuer = seq(der(0x31, seq(der(6, '550403'), der(12, Buffer.from(name)))));
  const time = (ms: number) =>
    der(0x18, Buffer.from(`${new Date(Date.now() + ms).toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`));
  const extension = (oid: string, value: Buffer) => seq(der(6, oid), der(4, value));
  const extensions = der(
    0xa3,
    seq(
      extension('551d13', seq(der(1, 'ff'))), // an authority
      extension('551d11', seq(der(0x82, Buffer.from(name)))), // for this name
    ),
  );
  const body = seq(
    der(0xa0, der(2, '02')),
    der(2, Buffer.concat([Buffer.of(1), randomBytes(8)])),
    ecdsa_sha256,
    issuer,
    seq(time(-3_600_000), time(86_400_000)),
    issuer,
    publicKey.export({ type: 'spki', format: 'der' }),
    extensions,
  );
  const signature = der(3, Buffer.concat([Buffer.of(0), sign('sha256', body, privateKey)]));
  const base64 = seq(body, ecdsa_sha256, signature).toString('base64');
  return `-----BEGIN CERTIFICATE-----\n${base64.match(/.{1,64}/g)?.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function der(tag: number, content: Buffer | string): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'hex') : content;
  const { length } = bytes;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), bytes]);
}

const seq = (...parts: Buffer[]): Buffer => der(0x30, Buffer.concat(parts));
