package registry

import (
	"context"
	"net"
	"time"
)

// SetResolver makes c look up names elsewhere.
func (c *Client) SetResolver(r *net.Resolver) { c.resolver = r }

// SetSleep replaces the waiting between attempts.
func (c *Client) SetSleep(sleep func(context.Context, time.Duration) error) { c.sleep = sleep }
