// Package integration tests the suite in containers: the images of
// deploy/Dockerfile, the pairs in every arrangement of IPC namespaces, volumes
// and users, compose.yaml, and the pods of deploy/k8s. All of it is in tests.
//
// It needs a Docker engine and no registry: deploy/golang-image.sh makes the
// base image of the build where it cannot be pulled. The pods run in podman.
package integration
