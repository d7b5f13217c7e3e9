// Package deploy has no code: its files are what puts the plugins to work on
// Kubernetes, Fargate and ECS, and its tests hold them against the plugins.
package deploy
