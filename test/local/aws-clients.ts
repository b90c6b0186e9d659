// The ordinary SDK clients, pointed at the door with the access key of one caller.
import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { RDSDataClient } from '@aws-sdk/client-rds-data';
import { S3Client } from '@aws-sdk/client-s3';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { CreateQueueCommand, SQSClient } from '@aws-sdk/client-sqs';

export function awsClients(endpoint: string, accessKeyId: string, maxAttempts = 1) {
  const config = {
    endpoint,
    region: 'eu-central-1',
    credentials: { accessKeyId, secretAccessKey: 'not-checked' },
    maxAttempts,
  };
  return {
    dynamodb: new DynamoDBClient(config),
    sqs: new SQSClient(config),
    s3: new S3Client(config),
    rdsData: new RDSDataClient(config),
    secrets: new SecretsManagerClient(config),
  };
}

export async function createQueue(sqs: SQSClient, name: string, attributes: Record<string, string> = {}) {
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: name, Attributes: attributes }));
  return QueueUrl as string;
}

export async function createTable(dynamodb: DynamoDBClient, name: string, key: string): Promise<void> {
  await dynamodb.send(
    new CreateTableCommand({
      TableName: name,
      KeySchema: [{ AttributeName: key, KeyType: 'HASH' }],
      AttributeDefinitions: [{ AttributeName: key, AttributeType: 'S' }],
      BillingMode: 'PAY_PER_REQUEST',
    }),
  );
}
