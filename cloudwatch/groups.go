package cloudwatch

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"aws-for-fluent-bit/internal/awsx"
)

// What option existing_group has done to a group that was there before.
const (
	keepGroup       = "keep"
	retentionOfOld  = "retention" // with auto_create_group, as both peers do
	updateGroup     = "update"
	defaultExisting = retentionOfOld
)

// settings are what the options may ask for of a log group.
type settings uint8

const (
	retention settings = 1 << iota
	groupTags
	kmsKey
	protection
)

var settingNames = []string{"retention", "tags", "KMS key", "deletion protection"}

func (s settings) String() string {
	var names []string
	for i, name := range settingNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// settings are those that the options have a say on.
func (c *config) settings() (all settings) {
	if c.retentionDays > 0 {
		all |= retention
	}
	if len(c.groupTags) > 0 {
		all |= groupTags
	}
	if c.kmsKey != "" {
		all |= kmsKey
	}
	if c.protect != nil {
		all |= protection
	}
	return all
}

// plan says what is to be set on a group after its first events, and what is
// left alone. ours is one that was made here, with all that a group can be made with.
func (c *config) plan(ours bool) (set, leave settings) {
	all := c.settings()
	switch {
	case ours:
		return all & retention, 0
	case c.existing == updateGroup:
		set = all
	case c.existing == retentionOfOld && c.createGroup:
		set = all & retention
	}
	return set, all &^ set
}

// makeGroup creates a group, or takes it as it is.
//
// One that the service refuses for its tags or its protection, as where the
// policy lacks logs:TagResource, is made without: its events come first. It is
// not made without its key, since they would then lie there unencrypted.
func (s *sender) makeGroup(ctx context.Context, name string) (created bool, err error) {
	in := &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name, LogGroupClass: types.LogGroupClass(s.p.groupClass),
		Tags: s.tagsOf(name), DeletionProtectionEnabled: s.p.protect}
	if s.p.kmsKey != "" {
		in.KmsKeyId = &s.p.kmsKey
	}
	create := func() error {
		return s.control(func() error { _, err := s.p.client.CreateLogGroup(ctx, in); return err })
	}
	if err = create(); isRefusal(err) && s.p.settings()&(groupTags|protection) != 0 {
		in.Tags, in.DeletionProtectionEnabled = nil, nil
		why := verdict(err).Reason
		if err = create(); err == nil {
			s.p.Said.Warn("plain group", "log group %q was made without its %v: %s", name, s.p.settings()&(groupTags|protection), why)
		}
	}
	if err != nil && !alreadyExists(err) {
		return false, err
	}
	if err == nil {
		s.p.Said.Info("created log group %q", name)
	}
	return err == nil, nil
}

// isRefusal tells whether the service does not do it, whoever asks and how often.
func isRefusal(err error) bool {
	if err == nil {
		return false
	}
	class := awsx.Classify(err).Class
	return class == awsx.AccessDenied || class == awsx.Invalid
}

// tagsOf returns the tags for a group, nil for none.
func (s *sender) tagsOf(group string) map[string]string {
	if s.tags != nil {
		return s.tags.of(group)
	}
	if len(s.p.groupTags) == 0 {
		return nil
	}
	tags := make(map[string]string, len(s.p.groupTags))
	for _, t := range s.p.groupTags {
		tags[t.key] = t.value
	}
	return tags
}

// settleAgain is how long a group that could not be brought to what the options
// ask for is left alone.
const settleAgain = time.Minute

// settle brings a group to what the options ask for, once, and says what was
// done to a group that was there before. It comes after the events, so whatever
// becomes of it does not hold them up. When the flush has taken long it is left
// to the next.
func (s *sender) settle(name string) {
	if s.p.asked == 0 {
		return
	}
	g := s.p.targets.group(name)
	if g.settled.Load() {
		return
	}
	s.tools <- struct{}{}
	defer func() { <-s.tools }()
	until := s.patience(s.begun)
	if !time.Now().Before(until) || !g.making.open() { // or somebody else is at it
		return
	}
	defer g.making.leave()
	if g.settled.Load() || time.Since(g.tried) < settleAgain {
		return
	}
	g.tried = time.Now()
	ctx, cancel := context.WithDeadline(s.flush.Context(), until)
	defer cancel()
	set, leave := s.p.plan(g.ours)
	if !s.bring(ctx, g, name, set) {
		return
	}
	g.settled.Store(true)
	if g.ours {
		return
	}
	var said []string
	for _, part := range []struct {
		what settings
		text string
	}{{g.changed, "its %v set"}, {set &^ g.changed, "its %v found as asked for"}, {leave, "its %v left alone"}} {
		if part.what != 0 {
			said = append(said, fmt.Sprintf(part.text, part.what))
		}
	}
	if g.otherClass != "" {
		said = append(said, fmt.Sprintf("its class %s left, which cannot be changed", g.otherClass))
	}
	s.p.Said.Info("log group %q was there: %s (option existing_group is %s)", name, strings.Join(said, ", "), s.p.existing)
}

// bring sets what is asked for of a group and not done yet, and tells whether
// all of that is done now. The group's gate is held.
func (s *sender) bring(ctx context.Context, g *group, name string, set settings) (all bool) {
	var is *types.LogGroup
	var unknown error
	if set&^retention != 0 {
		// For the ARN that tagging takes, and to leave alone what is as it should be.
		if is, unknown = s.describe(ctx, name); is != nil {
			g.done |= s.p.same(is)
			if class := string(is.LogGroupClass); s.p.groupClass != "" && class != "" && class != s.p.groupClass {
				g.otherClass = class
			}
		}
	}
	c := s.p.client
	for _, step := range []struct {
		what settings
		text string
		call func() error
	}{
		{retention, fmt.Sprintf("set the retention of log group %q to %d days", name, s.p.retentionDays), func() error {
			_, err := c.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &name, RetentionInDays: aws.Int32(int32(s.p.retentionDays))})
			return err
		}},
		{kmsKey, fmt.Sprintf("set the KMS key of log group %q", name), func() error {
			_, err := c.AssociateKmsKey(ctx, &cloudwatchlogs.AssociateKmsKeyInput{LogGroupName: &name, KmsKeyId: &s.p.kmsKey})
			return err
		}},
		{protection, fmt.Sprintf("set the deletion protection of log group %q", name), func() error {
			_, err := c.PutLogGroupDeletionProtection(ctx, &cloudwatchlogs.PutLogGroupDeletionProtectionInput{LogGroupIdentifier: &name, DeletionProtectionEnabled: s.p.protect})
			return err
		}},
		{groupTags, fmt.Sprintf("set the tags of log group %q", name), func() error {
			if is == nil {
				return unknown
			}
			_, err := c.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: is.LogGroupArn, Tags: s.tagsOf(name)})
			return err
		}},
	} {
		if step.what&set&^g.done == 0 {
			continue
		}
		if err := s.control(step.call); err != nil {
			s.p.Said.Warn(step.what.String(), "cannot %s, and tries again in a minute: %s", step.text, createVerdict(err).Reason)
			continue
		}
		g.done |= step.what
		g.changed |= step.what
	}
	return set&^g.done == 0
}

// describe asks what a group is like.
func (s *sender) describe(ctx context.Context, name string) (is *types.LogGroup, err error) {
	err = s.control(func() error {
		out, err := s.p.client.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &name, Limit: aws.Int32(1)})
		if err != nil {
			return err
		}
		// Of those that begin so, the name itself is the first.
		if len(out.LogGroups) == 0 || aws.ToString(out.LogGroups[0].LogGroupName) != name {
			return &types.ResourceNotFoundException{Message: aws.String("DescribeLogGroups does not know the log group")}
		}
		is = &out.LogGroups[0]
		if is.LogGroupArn == nil {
			is.LogGroupArn = aws.String(strings.TrimSuffix(aws.ToString(is.Arn), ":*"))
		}
		return nil
	})
	return is, err
}

// same are the settings of a group that are what the options ask for. Of its
// tags nothing is known.
func (c *config) same(is *types.LogGroup) (as settings) {
	if int(aws.ToInt32(is.RetentionInDays)) == c.retentionDays {
		as |= retention
	}
	if aws.ToString(is.KmsKeyId) == c.kmsKey {
		as |= kmsKey
	}
	if c.protect != nil && aws.ToBool(is.DeletionProtectionEnabled) == *c.protect {
		as |= protection
	}
	return as
}
