// Reading a cloud assembly: classes of resource types, intrinsics, values and the order of creation.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the placeholders are CloudFormation's own.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  type Assembly,
  assetDirectory,
  classify,
  creationOrder,
  isProvider,
  loadAssembly,
  type Resource,
} from '../../local/template/assembly.ts';
import { createResolver, type Resolver, type ResourceValue } from '../../local/template/resolver.ts';
import { ACCEPTED, EMULATED } from '../../local/template/resource-types.ts';

const root = mkdtempSync(join(tmpdir(), 'assembly-'));
afterAll(() => rmSync(root, { recursive: true }));

type Template = Record<string, Record<string, unknown>>;

function write(stacks: Record<string, Template>, directory = mkdtempSync(join(root, 'out-'))): string {
  mkdirSync(directory, { recursive: true });
  const artifacts: Record<string, unknown> = {
    Tree: { type: 'cdk:tree', properties: { file: 'tree.json' } },
  };
  for (const [name, template] of Object.entries(stacks)) {
    writeFileSync(join(directory, `${name}.template.json`), JSON.stringify(template));
    artifacts[name] = {
      type: 'aws:cloudformation:stack',
      properties: { templateFile: `${name}.template.json` },
    };
  }
  writeFileSync(join(directory, 'manifest.json'), JSON.stringify({ version: '55.0.0', artifacts }));
  return directory;
}

const load = (stacks: Record<string, Template>): Assembly => loadAssembly(write(stacks));

/** Resolves one expression in a stack that holds a queue with a value and a key without one. */
function evaluate(expression: unknown, more: Template = {}): unknown {
  const assembly = load({
    Main: {
      ...more,
      Resources: {
        Q: { Type: 'AWS::SQS::Queue' },
        R: { Type: 'AWS::KMS::Key' },
        F: {
          Type: 'AWS::Lambda::Function',
          Properties: { Role: { 'Fn::GetAtt': ['R', 'Arn'] }, X: expression },
        },
      },
    },
  });
  const values = new Map([['Main/Q', { ref: 'http://q', attributes: { Arn: 'arn:q', QueueName: 'q' } }]]);
  return createResolver(assembly, values).property(find(assembly, 'F'), 'X');
}

function find(assembly: Assembly, id: string): Resource {
  const found = assembly.stacks
    .flatMap(({ resources }) => resources)
    .find(({ logicalId }) => logicalId === id);
  if (found === undefined) throw new Error(`no ${id}`);
  return found;
}

const CONDITIONS = {
  Parameters: { Stage: { Type: 'String', Default: 'dev' }, Name: { Type: 'String' } },
  Conditions: {
    IsDev: { 'Fn::Equals': [{ Ref: 'Stage' }, 'dev'] },
    NotDev: { 'Fn::Not': [{ Condition: 'IsDev' }] },
    Both: { 'Fn::And': [{ Condition: 'IsDev' }, { Condition: 'NotDev' }] },
    Either: { 'Fn::Or': [{ Condition: 'IsDev' }, { Condition: 'NotDev' }] },
  },
  Mappings: { Size: { dev: { gb: 1 } } },
};

describe('an expression', () => {
  it.each<[unknown, unknown]>([
    ['plain', 'plain'],
    [{ a: [1, true, null] }, { a: [1, true, null] }],
    [{ Ref: 'Q' }, 'http://q'],
    [{ 'Fn::GetAtt': ['Q', 'Arn'] }, 'arn:q'],
    [{ 'Fn::GetAtt': 'Q.Arn' }, 'arn:q'],
    [{ 'Fn::Join': ['-', ['a', { Ref: 'AWS::Region' }, { Ref: 'Q' }]] }, 'a-eu-west-1-http://q'],
    [
      { 'Fn::Sub': '${Q} ${Q.QueueName} ${!Literal} ${AWS::AccountId}' },
      'http://q q ${Literal} 000000000000',
    ],
    [{ 'Fn::Sub': ['${X}/${Q}', { X: { 'Fn::GetAtt': ['Q', 'QueueName'] } }] }, 'q/http://q'],
    [{ 'Fn::Select': [1, { 'Fn::Split': [':', { 'Fn::GetAtt': ['Q', 'Arn'] }] }] }, 'q'],
    [{ 'Fn::Select': ['0', { 'Fn::GetAZs': '' }] }, 'eu-west-1a'],
    [{ 'Fn::FindInMap': ['Size', { Ref: 'Stage' }, 'gb'] }, 1],
    [{ 'Fn::If': ['IsDev', 'yes', { Ref: 'R' }] }, 'yes'],
    [{ 'Fn::If': ['NotDev', 'yes', 'no'] }, 'no'],
    [{ 'Fn::If': ['Both', 1, { 'Fn::If': ['Either', 2, 3] }] }, 2],
    [{ a: { Ref: 'AWS::NoValue' }, b: [{ Ref: 'AWS::NoValue' }, 1] }, { b: [1] }],
    [{ Ref: 'AWS::NoValue' }, undefined],
    [{ 'Fn::Sub': '${AWS::Partition} ${AWS::StackName} ${AWS::URLSuffix}' }, 'aws Main amazonaws.com'],
    [
      { Statement: [{ Condition: { Bool: { a: 'b' } } }] },
      { Statement: [{ Condition: { Bool: { a: 'b' } } }] },
    ],
  ])('%j is %j', (expression, value) => {
    expect(evaluate(expression, CONDITIONS)).toEqual(value);
  });

  it.each([
    [{ Ref: 'R' }, 'Main/F refers to Main/R (AWS::KMS::Key), which has no value in the embedded stack.'],
    [
      { 'Fn::GetAtt': ['Q', 'Color'] },
      'Main/F refers to the attribute Color of Main/Q, which is unknown here.',
    ],
    [{ Ref: 'Ghost' }, 'Main/F refers to Ghost, which Main does not hold.'],
    [{ Ref: 'Name' }, 'Main/F refers to the parameter Name, which has no default.'],
    [{ 'Fn::If': ['Ghost', 1, 2] }, 'Main/F names no known condition: Ghost.'],
    [{ 'Fn::ImportValue': 'ghost' }, 'Main/F imports ghost, which no stack of the assembly exports.'],
    [{ 'Fn::Select': [3, ['a']] }, 'Main/F: Fn::Select asks for item 3 of 1.'],
    [{ 'Fn::FindInMap': ['Size', 'prod', 'gb'] }, /Size\.prod\.gb, which is not in the mappings of Main/],
    [{ 'Fn::Join': ['', ['{{resolve:ssm:', 'x}}']] }, /dynamic reference \{\{resolve:ssm: is not supported/],
    [{ 'Fn::Join': ['', [{ a: 1 }]] }, /a text is expected where \{"a":1\} stands/],
    [{ 'Fn::Base64': 'x' }, 'Main/F uses the intrinsic Fn::Base64, which the embedded stack does not know.'],
    [{ deep: [{ 'Fn::Cidr': ['a', 1] }] }, /uses the intrinsic Fn::Cidr/],
    [{ 'Fn::Sub': 'a', b: 1 }, /mixes the intrinsic Fn::Sub with other keys/],
  ])('%j is refused', (expression, message) => {
    expect(() => evaluate(expression, CONDITIONS)).toThrow(message);
  });
});

describe('an assembly', () => {
  it('holds the stacks of nested assemblies and finds their assets', () => {
    const directory = write({ Data: { Resources: { Q: { Type: 'AWS::SQS::Queue' } } } });
    write(
      { Prod: { Resources: { F: { Type: 'AWS::Lambda::Function' } } } },
      join(directory, 'assembly-Prod'),
    );
    const path = join(directory, 'manifest.json');
    const artifacts = {
      Data: { type: 'aws:cloudformation:stack', properties: { templateFile: 'Data.template.json' } },
      Stage: { type: 'cdk:cloud-assembly', properties: { directoryName: 'assembly-Prod' } },
    };
    writeFileSync(path, JSON.stringify({ artifacts }));
    mkdirSync(join(directory, 'asset.abc'));
    const assembly = loadAssembly(directory);
    expect(assembly.stacks.map(({ name }) => name)).toEqual(['Data', 'Prod']);
    expect(assetDirectory(assembly, 'Prod', 'abc.zip')).toBe(join(directory, 'asset.abc'));
    expect(assetDirectory(assembly, 'Prod', 'missing.zip')).toBeUndefined();
  });

  it('leaves out a resource whose condition is false', () => {
    const assembly = load({
      Main: {
        ...CONDITIONS,
        Resources: {
          A: { Type: 'AWS::SQS::Queue', Condition: 'IsDev' },
          B: { Type: 'AWS::SQS::Queue', Condition: 'NotDev' },
        },
      },
    });
    expect(assembly.stacks[0]?.resources.map(({ logicalId }) => logicalId)).toEqual(['A']);
  });

  it('that is not there is an error that says how to make one', () => {
    expect(() => loadAssembly(join(root, 'nowhere'))).toThrow(
      /There is no cloud assembly in .*npm run synth/,
    );
  });

  it('with an unknown intrinsic in an output or a condition does not load', () => {
    const Resources = { Q: { Type: 'AWS::SQS::Queue' } };
    const bad = { 'Fn::Transform': 'x' };
    expect(() => load({ Main: { Resources, Outputs: { O: { Value: bad } } } })).toThrow(
      'Main, output O uses the intrinsic Fn::Transform, which the embedded stack does not know.',
    );
    expect(() => load({ Main: { Resources, Conditions: { C: bad } } })).toThrow(/Main, condition C uses/);
  });
});

describe('a resource type', () => {
  it('is emulated, accepted or an error of one sentence', () => {
    const assembly = load({
      Main: {
        Resources: {
          Q: { Type: 'AWS::SQS::Queue' },
          R: { Type: 'AWS::KMS::Key' },
          K: { Type: 'AWS::Kinesis::Stream' },
        },
      },
    });
    const { emulated, accepted, errors } = classify(assembly, { emulated: EMULATED, accepted: ACCEPTED });
    expect([emulated, accepted].map((list) => list.map(({ logicalId }) => logicalId))).toEqual([
      ['Q'],
      ['R'],
    ]);
    expect(errors).toEqual([
      'Main/K uses AWS::Kinesis::Stream, which the embedded stack neither emulates nor accepts.',
    ]);
  });

  it('is a function only where it runs on Node, or where it is one of CDK behind custom resources', () => {
    const python = { Type: 'AWS::Lambda::Function', Properties: { Runtime: 'python3.13' } };
    const assembly = load({
      Main: {
        Resources: {
          Provider: python,
          Files: {
            Type: 'Custom::CDKBucketDeployment',
            Properties: { ServiceToken: { 'Fn::GetAtt': ['Provider', 'Arn'] } },
          },
          Ours: python,
          Node: { Type: 'AWS::Lambda::Function', Properties: { Runtime: 'nodejs24.x' } },
        },
      },
    });
    const { accepted, errors } = classify(assembly, { emulated: EMULATED, accepted: ACCEPTED });
    expect(accepted.map(({ logicalId }) => logicalId)).toEqual(['Files']);
    expect(errors).toEqual(['Main/Ours runs on python3.13, which the embedded stack does not.']);
    expect(['Provider', 'Ours', 'Node'].map((id) => isProvider(assembly, find(assembly, id)))).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('is never both emulated and accepted', () => {
    expect([...EMULATED].filter((type) => ACCEPTED.has(type))).toEqual([]);
  });
});

describe('two stacks', () => {
  const stacks = {
    // The importing stack comes first in the manifest, so that the order below is not the order of writing.
    Kernel: {
      Resources: {
        Route: {
          Type: 'AWS::ApiGatewayV2::Route',
          Properties: { Target: { 'Fn::Join': ['/', ['integrations', { Ref: 'Integration' }]] } },
        },
        Integration: {
          Type: 'AWS::ApiGatewayV2::Integration',
          Properties: { IntegrationUri: { 'Fn::Sub': '${F.Arn}' } },
        },
        F: {
          Type: 'AWS::Lambda::Function',
          Properties: {
            Environment: { Variables: { TABLE: { 'Fn::ImportValue': 'Data:Table' } } },
            Role: { 'Fn::GetAtt': ['Role', 'Arn'] },
          },
        },
        Role: { Type: 'AWS::KMS::Key', DependsOn: ['Q'] },
        Q: { Type: 'AWS::SQS::Queue' },
      },
    },
    Data: {
      Resources: { T: { Type: 'AWS::DynamoDB::GlobalTable' } },
      Outputs: { Out: { Value: { Ref: 'T' }, Export: { Name: { 'Fn::Sub': '${AWS::StackName}:Table' } } } },
    },
  };

  it('are created each after what it refers to, also through exports and accepted resources', () => {
    const order = creationOrder(load(stacks), EMULATED).map(({ logicalId }) => logicalId);
    expect(order.toSorted()).toEqual(['F', 'Integration', 'Q', 'Route', 'T']);
    for (const [first, second] of [
      ['T', 'F'],
      ['Q', 'F'],
      ['F', 'Integration'],
      ['Integration', 'Route'],
    ]) {
      expect(order.indexOf(first as string)).toBeLessThan(order.indexOf(second as string));
    }
  });

  it('share values through exports, and a part resolves without the rest', () => {
    const assembly = load(stacks);
    const values = new Map<string, ResourceValue>([['Data/T', { ref: 'usage', attributes: {} }]]);
    const resolver: Resolver = createResolver(assembly, values);
    const f = find(assembly, 'F');
    expect(resolver.property(f, 'Environment.Variables')).toEqual({ TABLE: 'usage' });
    expect(resolver.property(f, 'ReservedConcurrentExecutions')).toBeUndefined();
    expect(resolver.output('Data', 'Out')).toBe('usage');
    expect(() => resolver.properties(f)).toThrow(
      /refers to Kernel\/Role \(AWS::KMS::Key\), which has no value/,
    );
  });

  it('that wait for each other are an error', () => {
    const circle = {
      A: { Type: 'AWS::SQS::Queue', Properties: { X: { Ref: 'B' } } },
      B: { Type: 'AWS::SQS::Queue', DependsOn: 'A' },
    };
    expect(() => creationOrder(load({ Main: { Resources: circle } }), EMULATED)).toThrow(
      'Main/A depends on itself.',
    );
  });
});
