// Which CloudFormation resource types the embedded stack runs, and which it knows to leave out; every other type is an error.

/** Types with a real local counterpart. */
export const EMULATED: ReadonlySet<string> = new Set([
  'AWS::ApiGatewayV2::Api',
  'AWS::ApiGatewayV2::Integration',
  'AWS::ApiGatewayV2::Route',
  'AWS::ApiGatewayV2::Stage',
  'AWS::Cognito::UserPool',
  'AWS::Cognito::UserPoolClient',
  'AWS::DynamoDB::GlobalTable',
  'AWS::DynamoDB::Table',
  'AWS::IAM::ManagedPolicy',
  'AWS::IAM::Policy',
  'AWS::IAM::Role',
  'AWS::Lambda::Alias',
  'AWS::Lambda::EventSourceMapping',
  'AWS::Lambda::Function',
  'AWS::Lambda::Version',
  'AWS::RDS::DBCluster',
  'AWS::S3::Bucket',
  'AWS::SQS::Queue',
  'AWS::Scheduler::Schedule',
  'AWS::Scheduler::ScheduleGroup',
  'AWS::SecretsManager::Secret',
  'AWS::SecretsManager::SecretTargetAttachment',
  'Custom::Trigger',
]);

const NO_NETWORK = 'everything listens on loopback, there is no network to lay out';
const NO_RESOURCE_POLICY = 'a call is allowed by the role of its caller, not by policies of what is called';
const NO_METRICS = 'there are no CloudWatch metrics to watch';
const ONE_DATABASE = 'one local PostgreSQL server stands for the whole cluster';
const NO_TOPICS = 'notifications have no subscriber here';
const NO_KEYS = 'nothing is encrypted at rest';
const NO_RELEASES = 'a start serves the newest version of every function at once';
const OWN_FILES = 'the build of the console is served from its folder, on the origin of the API';
const CDK_HELPER = 'a helper of the deployment that changes nothing a function can see';

/** Types that are accepted and not emulated, each with the reason that is listed once at the start. */
export const ACCEPTED: ReadonlyMap<string, string> = new Map([
  ['AWS::Budgets::Budget', 'nothing here costs anything'],
  ['AWS::CDK::Metadata', CDK_HELPER],
  ['AWS::CloudFront::Distribution', OWN_FILES],
  ['AWS::CloudFront::Function', OWN_FILES],
  ['AWS::CloudFront::OriginAccessControl', OWN_FILES],
  ['AWS::CloudFront::ResponseHeadersPolicy', OWN_FILES],
  ['AWS::CloudWatch::Alarm', NO_METRICS],
  ['AWS::CloudWatch::CompositeAlarm', NO_METRICS],
  ['AWS::CloudWatch::Dashboard', NO_METRICS],
  ['AWS::CodeDeploy::Application', NO_RELEASES],
  ['AWS::CodeDeploy::DeploymentGroup', NO_RELEASES],
  ['AWS::Cognito::UserPoolDomain', 'the local issuer has its own address'],
  ['AWS::Cognito::UserPoolGroup', 'the local issuer puts groups into the token on request'],
  ['AWS::EC2::EIP', NO_NETWORK],
  ['AWS::EC2::FlowLog', NO_NETWORK],
  ['AWS::EC2::InternetGateway', NO_NETWORK],
  ['AWS::EC2::NatGateway', NO_NETWORK],
  ['AWS::EC2::NetworkAcl', NO_NETWORK],
  ['AWS::EC2::NetworkAclEntry', NO_NETWORK],
  ['AWS::EC2::Route', NO_NETWORK],
  ['AWS::EC2::RouteTable', NO_NETWORK],
  ['AWS::EC2::SecurityGroup', NO_NETWORK],
  ['AWS::EC2::SecurityGroupEgress', NO_NETWORK],
  ['AWS::EC2::SecurityGroupIngress', NO_NETWORK],
  ['AWS::EC2::Subnet', NO_NETWORK],
  ['AWS::EC2::SubnetNetworkAclAssociation', NO_NETWORK],
  ['AWS::EC2::SubnetRouteTableAssociation', NO_NETWORK],
  ['AWS::EC2::VPC', NO_NETWORK],
  ['AWS::EC2::VPCEndpoint', NO_NETWORK],
  ['AWS::EC2::VPCGatewayAttachment', NO_NETWORK],
  ['AWS::KMS::Alias', NO_KEYS],
  ['AWS::KMS::Key', NO_KEYS],
  ['AWS::Lambda::EventInvokeConfig', 'asynchronous calls follow the default retries of Lambda'],
  ['AWS::Lambda::LayerVersion', CDK_HELPER],
  ['AWS::Lambda::Permission', NO_RESOURCE_POLICY],
  ['AWS::Logs::LogGroup', 'log lines go to the terminal'],
  ['AWS::Logs::LogStream', 'log lines go to the terminal'],
  ['AWS::Logs::MetricFilter', NO_METRICS],
  ['AWS::Logs::ResourcePolicy', NO_RESOURCE_POLICY],
  ['AWS::RDS::DBClusterParameterGroup', ONE_DATABASE],
  ['AWS::RDS::DBInstance', ONE_DATABASE],
  ['AWS::RDS::DBParameterGroup', ONE_DATABASE],
  ['AWS::RDS::DBSubnetGroup', NO_NETWORK],
  ['AWS::S3::BucketPolicy', NO_RESOURCE_POLICY],
  ['AWS::SNS::Subscription', NO_TOPICS],
  ['AWS::SNS::Topic', NO_TOPICS],
  ['AWS::SNS::TopicPolicy', NO_TOPICS],
  ['AWS::SQS::QueuePolicy', NO_RESOURCE_POLICY],
  ['AWS::SecretsManager::ResourcePolicy', NO_RESOURCE_POLICY],
  ['AWS::SecretsManager::RotationSchedule', 'a local secret never rotates'],
  ['Custom::CDKBucketDeployment', OWN_FILES],
  ['Custom::LogRetention', 'log lines go to the terminal'],
  ['Custom::VpcRestrictDefaultSG', NO_NETWORK],
]);
