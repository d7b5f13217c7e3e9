package awslocal

import "regexp"

// kmsKeyPattern is the ARN of a key, or of an alias for one.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html
var kmsKeyPattern = regexp.MustCompile(`^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]+$`)

// associateKMSKey is for log groups alone, not for the results of queries.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_AssociateKmsKey.html
func (s *Server) associateKMSKey(c *call) (any, *apiError) {
	var in struct {
		KMSKeyID           *string `json:"kmsKeyId"`
		LogGroupName       *string `json:"logGroupName"`
		ResourceIdentifier *string `json:"resourceIdentifier"`
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	if in.ResourceIdentifier != nil {
		return nil, refuse("InvalidParameterException", "Only one of logGroupName and resourceIdentifier can be specified, and only log groups are served here.")
	}
	name, bad := checkGroupName(in.LogGroupName)
	if bad != nil {
		return nil, bad
	}
	c.rec.Target = name
	if bad := checkKMSKey(in.KMSKeyID); bad != nil {
		return nil, bad
	}
	return s.logs.set(name, func(g *LogGroup) { g.KMSKeyID = *in.KMSKeyID })
}

func checkKMSKey(id *string) *apiError {
	const code = "InvalidParameterException"
	switch {
	case id == nil:
		return invalid(code, "kmsKeyId", "not be null")
	case len(*id) > maxKMSKey:
		return invalid(code, "kmsKeyId", "have length less than or equal to 256")
	case !kmsKeyPattern.MatchString(*id):
		return refuse(code, "The specified KMS key does not exist or is not allowed to be used.")
	}
	return nil
}

// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogGroupDeletionProtection.html
func (s *Server) putLogGroupDeletionProtection(c *call) (any, *apiError) {
	var in struct {
		DeletionProtectionEnabled *bool   `json:"deletionProtectionEnabled"`
		LogGroupIdentifier        *string `json:"logGroupIdentifier"`
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	switch {
	case in.LogGroupIdentifier == nil:
		return nil, invalid("InvalidParameterException", "logGroupIdentifier", "not be null")
	case in.DeletionProtectionEnabled == nil:
		return nil, invalid("InvalidParameterException", "deletionProtectionEnabled", "not be null")
	}
	name := groupOf(*in.LogGroupIdentifier)
	c.rec.Target = name
	return s.logs.set(name, func(g *LogGroup) { g.Protected = *in.DeletionProtectionEnabled })
}
